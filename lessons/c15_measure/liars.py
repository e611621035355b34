"""Ways to measure that look right and are not: each takes contestants (functions of x) and gives seconds for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

Contestants = Mapping[str, Callable[[np.ndarray], np.ndarray]]


def once(run: Callable[..., object], *arguments: object) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def fair(contestants: Contestants, x: np.ndarray, rounds: int = 30) -> dict[str, float]:
    """The least of many calls, the contestants in turn, each warmed up, each on fresh data that lies in the same cache."""
    for run in contestants.values():
        run(x.copy())
    least = dict.fromkeys(contestants, np.inf)
    for _ in range(rounds):
        for name, run in contestants.items():
            fresh = x.copy()
            least[name] = min(least[name], once(run, fresh))
    return least


def first_call(contestants: Contestants, x: np.ndarray) -> dict[str, float]:
    """One call each: whoever must load, compile or fill something first pays for it here, once for all."""
    return {name: once(run, x) for name, run in contestants.items()}


# -- contestants for 2x + 1, one of them honest

SEEN: dict[int, np.ndarray] = {}


def honest(x: np.ndarray) -> np.ndarray:
    return 2 * x + 1


def remembers(x: np.ndarray) -> np.ndarray:
    """Keeps answers by the array's size."""
    if x.size not in SEEN:
        SEEN[x.size] = 2 * x + 1
    return SEEN[x.size]


def less_exact(x: np.ndarray) -> np.ndarray:
    """Half the bytes: computes in float16."""
    return (2 * x.astype(np.float16) + 1).astype(np.float32)


def half_of_it(x: np.ndarray) -> np.ndarray:
    """The second half is left as it came."""
    y = x.copy()
    y[: len(x) // 2] = 2 * x[: len(x) // 2] + 1
    return y


def into_its_input(x: np.ndarray) -> np.ndarray:
    """Writes into x: saves an array, and the next call begins with another x."""
    x *= 2
    x += 1
    return x


class Tires:
    """Right while it is looked at: after the third call it gives back what it had."""

    def __init__(self) -> None:
        self.calls, self.last = 0, np.zeros(0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.calls += 1
        if self.calls <= 3:
            self.last = 2 * x + 1
        return self.last


LIARS: dict[str, Callable[[], Callable[[np.ndarray], np.ndarray]]] = {
    "remembers answers": lambda: remembers,
    "less exact": lambda: less_exact,
    "half of it": lambda: half_of_it,
    "writes into its input": lambda: into_its_input,
    "right only while looked at": Tires,
}
