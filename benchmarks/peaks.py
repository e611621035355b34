"""What this machine can do at best, measured: products, and copies of every size. The roof over a kernel, and the floor under it.

    roof   the time that the best product and the best copy of as many bytes would take: what a kernel is compared with
    floor  a time that no kernel can stay below, whatever its algorithm: whoever claims one has not done the work

A copy of 100 KB stays in the cache and is many times as fast as one of 100 MB. So copies are measured by size, and a kernel on
warm caches has the roof of a copy that moves as many bytes as it does; on cold ones that of the largest.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.costs import Cost
from benchmarks.worker import Result, Worker
from kernels.conv2d.geometry import Geometry
from kernels.cpu import threads

SIZES = tuple(1 << power for power in range(14, 27, 2))  # bytes read and written
FASTER = 2.0
"""How far below the measured roof a time may lie before it counts as impossible: peaks are those of one program on one day."""


@dataclass(frozen=True)
class Peaks:
    """Best rates: `gemm_gflops` of products; `copy_gbs` of a copy that no cache holds, `copies` by bytes moved."""

    gemm_gflops: float
    copy_gbs: float
    copies: dict[int, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "copies", {int(size): rate for size, rate in self.copies.items()})  # JSON has words

    def gbs(self, nbytes: float, cold: bool = False) -> float:
        """The rate at which so many bytes can be moved: that of the copy nearest in size."""
        if cold or not self.copies:
            return self.copy_gbs
        return self.copies[min(self.copies, key=lambda size: abs(math.log(size / max(nbytes, 1))))]

    def roof(self, cost: Cost, cold: bool = False) -> float:
        """Seconds that products and a copy at their best would take."""
        return max(self.times(cost, cold))

    def bound(self, cost: Cost, cold: bool = False) -> str:
        """Which of the two takes longer: "compute" or "memory"."""
        products, copies = self.times(cost, cold)
        return "compute" if products > copies else "memory"

    def times(self, cost: Cost, cold: bool) -> tuple[float, float]:
        """Seconds of its products, and of copying its bytes. What multiplies no matrices is held to the copy alone."""
        products = cost.flops / self.gemm_gflops if cost.least_flops else 0.0
        return products / 1e9, cost.bytes / self.gbs(cost.bytes, cold) / 1e9

    def floor(self, cost: Cost, cold: bool = False) -> float:
        """Seconds below which nobody gets: fewest multiplications, each input read once, twice as fast as was measured."""
        rate = self.copy_gbs if cold else max(self.copy_gbs, *self.copies.values(), 0.0)
        return max(cost.least_flops / self.gemm_gflops, cost.least_bytes / rate) / 1e9 / FASTER

    def better(self, other: Peaks) -> Peaks:
        """The best of two measurements."""
        copies = {size: max(rate, other.copies[size]) for size, rate in self.copies.items()}
        return Peaks(max(self.gemm_gflops, other.gemm_gflops), max(self.copy_gbs, other.copy_gbs), copies)

    def described(self) -> dict[str, Any]:
        """For a row."""
        return asdict(self)


def measure(seconds: float = 2.0, device: str = "cpu", precision: str = "fp32") -> Peaks:
    """The peaks of the processor or, on cuda, of the GPU, within about so many seconds; in a process with a contestant's threads."""
    worker = Worker(f"{__name__}:Meter", (seconds, device, precision))
    try:
        return Peaks(**worker("result", None)[0])
    finally:
        worker.close()


class Meter:
    """What a worker does to measure peaks."""

    def __init__(self, work: tuple[float, str, str]) -> None:
        self.work = work

    def load(self) -> None:
        """There are no weights."""

    def inputs(self, key: None) -> None:
        """Nor inputs."""

    def run(self, inputs: None) -> Peaks:
        seconds, device, precision = self.work
        known = machine.control(seconds / 2, device, precision, threads.COUNT)
        if device == "cuda":
            return Peaks(**known, copies={})  # a GPU is timed with its cache flushed
        copies = {size: copy_gbs(size, seconds / 4 / len(SIZES), threads.COUNT) for size in SIZES}
        return Peaks(max(known["gemm_gflops"], our_product(seconds / 4)), known["copy_gbs"], copies)

    def result(self, output: Peaks) -> Result:
        return output.described()


def copy_gbs(nbytes: int, seconds: float, parts: int) -> float:
    """The best rate of a copy that moves `nbytes` in all, by one core or by `parts` together."""
    half = nbytes // 2
    source, target = np.ones(half, np.uint8), np.empty(half, np.uint8)
    alone = machine.best(lambda: np.copyto(target, source), seconds / 2)
    if nbytes < 1 << 20 or parts == 1:  # not worth a second thread
        return 2 * half / alone / 1e9
    pieces = list(zip(np.array_split(target, parts), np.array_split(source, parts), strict=True))
    with ThreadPoolExecutor(parts) as pool:
        shared = machine.best(lambda: list(pool.map(lambda pair: np.copyto(*pair), pieces)), seconds / 2)
    return 2 * half / min(alone, shared) / 1e9


def our_product(seconds: float) -> float:
    """GFLOP/s of this repository's own matrix product, which some builds of BLAS do not reach; 0 without its compiler."""
    try:
        from kernels.conv2d import cpu
    except ModuleNotFoundError:
        return 0.0
    x, w = (
        np.ones((1, 64, 64, 512), np.float32),
        np.ones((1, 1, 512, 512), np.float32),
    )  # one pixel at a time: a product
    flops = 2 * x.size * w.shape[-1]
    return flops / machine.best(lambda: cpu.forward(x, w, geometry=Geometry()), seconds) / 1e9
