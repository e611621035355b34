"""A ladder: one op computed in several ways, from the definition to the code that trains, each timed on one thread of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

SECONDS = 0.25
"""Of each rung and each roof."""


@dataclass
class Ladder:
    """An op at one size: its operations, its bytes with every number read or written once, and what the rungs came to.

    The roof is the best matrix product of one thread, in GFLOP/s, where `bound` is "compute"; where it is "memory", the best copy
    of as many bytes, in GB/s.
    """

    title: str
    bound: str
    flops: int
    bytes: int
    true: np.ndarray
    rungs: list[dict] = field(default_factory=list)
    roof: float = 0.0

    def rung(self, name: str, run: Callable[[], Any], share: float = 1.0, allowed: float = 1e-3) -> None:
        """Time one way and hold it to the truth. One that does only `share` of the work, at its start, is scaled up.

        ValueError for an error above `allowed`: no time is shown for something else.
        """
        found = run().ravel()
        wanted = self.true.ravel()[: round(share * self.true.size)]
        error = float(abs(found[: wanted.size] - wanted).max())
        if not error <= allowed:
            raise ValueError(f"{self.title}: “{name}” is off by {error:.2g}, of {allowed:g} allowed")
        seconds = best(run) / share
        self.rungs.append({"name": name, "ms": 1e3 * seconds, "error": error})

    def done(self) -> dict:
        """For the page."""
        return {k: v for k, v in asdict(self).items() if k != "true"}


def best(run: Callable[[], object], seconds: float = SECONDS) -> float:
    """The least time of a call in seconds, over about `seconds`, after one that is not counted."""
    run()
    end, least = time.perf_counter() + seconds, np.inf
    while time.perf_counter() < end:
        least = min(least, timed(run))
    return float(least)


def timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def roof(ladder: Ladder) -> float:
    """What this core can do at best: of products, or of copies of the ladder's size."""
    from benchmarks import peaks

    if ladder.bound == "memory":
        return peaks.copy_gbs(ladder.bytes, SECONDS, parts=1)
    a = np.random.default_rng(0).standard_normal((512, 512)).astype(np.float32)
    return max(2 * len(a) ** 3 / best(lambda: a @ a) / 1e9, peaks.our_product(SECONDS))
