"""How long a launch takes on a GPU: the longest of what it asks of memory, caches, schedulers and tensor cores, round by round.

A multiprocessor holds as many programs as its registers and shared memory allow. So a grid runs in rounds: all places are
filled, and the last round may leave most of them empty. In each round these go on side by side, and the longest counts:

    dram     every array once, through memory
    l2       what all programs read, through the L2 cache: an operand is read again by every tile that needs it. All together
             share the cache; and into one multiprocessor goes so much and no more
    issue    instructions of all warps; each of the four schedulers issues at most one for each cycle
    tensor   products, with what fills tiles up
    latency  one program from its first load to its last store, by itself: round trips to memory, shuffles and barriers, and its
             own instructions or products. Where few programs run, nothing hides that

Left out: what one launch leaves in L2 for the next, conflicts in shared memory, and shared memory's own rate.
benchmarks/measured.py holds this against other people's measurements.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from benchmarks.gpus import Gpu

GAP = 1.5e-6  # s from one kernel to the next within a CUDA graph, where each waits for the one before
SCHEDULERS = 4  # of a multiprocessor
TERMS = ("dram", "l2", "issue", "tensor", "latency")


@dataclass(frozen=True)
class Demand:
    """What a launch asks for. Bytes and flops are those of all programs together; the others are one program's."""

    programs: int
    dram: float  # bytes
    l2: float  # bytes
    flops: float = 0.0  # of products, with what fills tiles up
    products: str = ""  # "bf16", "tf32", "fp32", or "" for none
    issued: float = 0.0  # instructions of all its warps
    resident: int = 1  # programs that a multiprocessor holds
    far: float = 1.0  # round trips to memory, one after the other
    near: float = 0.0  # to L2
    exchanges: float = 0.0  # shuffles and barriers, one after the other


@dataclass
class Prediction:
    """Seconds that a launch takes. `bound`: how many of them each term decides; `terms`: what it would take by itself."""

    terms: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TERMS, 0.0))
    bound: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TERMS, 0.0))

    @property
    def seconds(self) -> float:
        return sum(self.bound.values())

    @property
    def binds(self) -> str:
        """The term that decides most of the time."""
        return max(TERMS, key=self.bound.__getitem__)


def predict(gpu: Gpu, demand: Demand, without: str = "") -> Prediction:
    """`without` one of the terms it shows what a simpler model would say."""
    found = Prediction()
    places = gpu.multiprocessors * max(demand.resident, 1)
    full, rest = divmod(demand.programs, places)
    for programs, rounds in ((places, full), (rest, 1)):
        if not programs or not rounds:
            continue
        times = _round(gpu, demand, programs)
        # What a program does by itself while it does not wait.
        own = max({"issue", "tensor"} - {without}, key=times.__getitem__)
        alone = times[own] / math.ceil(programs / gpu.multiprocessors)
        waits = times["latency"]
        times["latency"] += alone
        for term, seconds in times.items():
            found.terms[term] += rounds * seconds
        times.pop(without, None)
        longest = max(times, key=times.__getitem__)
        if longest == "latency":
            found.bound[own] += rounds * alone
            found.bound["latency"] += rounds * waits
        else:
            found.bound[longest] += rounds * times[longest]
    return found


def _round(gpu: Gpu, demand: Demand, programs: int) -> dict[str, float]:
    """Seconds that each term takes for so many programs at a time; "latency" without what the program itself does."""
    busiest = math.ceil(programs / gpu.multiprocessors)  # programs of the multiprocessor that has most
    share = 1 / demand.programs  # of one program
    rate = gpu.products[demand.products or "fp32"] / gpu.multiprocessors
    return {
        "dram": programs * share * demand.dram / gpu.dram,
        "l2": max(programs * share * demand.l2 / gpu.l2, busiest * share * demand.l2 / gpu.port),
        "issue": busiest * demand.issued / SCHEDULERS / (gpu.issue * gpu.clock),
        "tensor": busiest * share * demand.flops / rate,
        "latency": demand.far * gpu.memory_latency
        + demand.near * gpu.l2_latency
        + demand.exchanges * gpu.shared_latency,
    }
