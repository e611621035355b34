"""What GPUs can do, and where each number comes from: data sheets for peaks, other people's measurements for the rest.

Peaks are dense, without sparsity: A100 80GB SXM, H100 SXM, H200 SXM, HGX B200 (per GPU), and the Ada Lovelace architecture
whitepaper for the RTX 4090 (products of bf16 added up in float32). The clock is the one that these peaks are reckoned with.
What is sustained is less, and was measured:

    dram      mean of BabelStream's copy and triad: Azure's ND A100 v4, ND H100 v5 and ND H200 v5 reports (repository
              samuel-bohman/AI-benchmarking-guide): 1.61 and 1.70, 2.90 and 2.97, 4.01 and 4.15 TB/s. For the B200 and the
              RTX 4090 nobody's was found: the same share of the data sheet's as the H100's.
    products  the best matrix product found by trying many shapes, by the data sheet's: the table of "maximum achievable matmul
              FLOPS" in repository stas00/ml-engineering. What holds a GPU back there is its power.
    l2        30 bytes for each clock and multiprocessor: 5.5 TB/s were measured on an H100 PCIe of 114 multiprocessors at
              1.4 to 1.755 GHz (Chips and Cheese, 2023). On the SXM card that gives 7.2 TB/s, and products limited by
              nothing else reach it: tiles of 128x128 and 128x256 in TF32 take 7.4 and 7.1 TB/s (ahmadsharif1/cuda_study),
              192x192 in bf16 6.6 to 8.1 (pranjalssh/fast.cu). An A100 gave 3.6 to plain loads and up to 5.4 to asynchronous
              copies, an RTX 4090 4.9 (smallscientist1/cuda_microbenchmark): here 4.6 and 4.9.
    issue     the share of its cycles in which a scheduler issues: 0.709 in a kernel that nothing else limits, on an H100
              (NVIDIA/torch-harmonics#257: 1.68 of 2.37 G slots, the profiler's measure of the whole multiprocessor too)
    port      64 bytes for each clock is what one multiprocessor can take from L2 (NVIDIA's A100 whitepaper)
    latency   571 cycles of an H100 SXM at 1.98 GHz for memory, 260 for L2 and 29 for shared memory, measured by chasing
              pointers (ahmadsharif1/cuda_study). Others are taken to be the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """One GPU: sustained rates in operations or bytes per second, latencies in seconds, and its multiprocessors' clock, Hz;
    `issue` is a share of that clock."""

    products: dict[str, float]  # operations per second by kind of product; "fp32" without tensor cores
    dram: float
    l2: float
    multiprocessors: int
    target: int
    clock: float
    issue: float = 0.709
    memory_latency: float = 288e-9
    l2_latency: float = 131e-9
    shared_latency: float = 14.6e-9

    @property
    def port(self) -> float:
        """Bytes per second from L2 into one multiprocessor."""
        return 64 * self.clock


def _sustained(share: float, fp32: float, tf32: float, bf16: float) -> dict[str, float]:
    """From tera-operations per second as in the data sheet; full float32 is not held back by power."""
    return {"fp32": fp32 * 1e12, "tf32": share * tf32 * 1e12, "bf16": share * bf16 * 1e12}


GPUS = {
    "A100": Gpu(_sustained(0.869, 19.5, 156, 312), 1.655e12, 4.6e12, 108, 80, 1.41e9),
    "RTX 4090": Gpu(_sustained(0.9, 82.6, 82.6, 165.2), 0.88e12, 4.9e12, 128, 89, 2.52e9),
    "H100": Gpu(_sustained(0.803, 66.9, 494.7, 989.4), 2.935e12, 7.2e12, 132, 90, 1.83e9),
    "H200": Gpu(_sustained(0.803, 66.9, 494.7, 989.4), 4.08e12, 7.2e12, 132, 90, 1.83e9),
    "B200": Gpu(_sustained(0.776, 75, 1125, 2250), 6.74e12, 8.2e12, 148, 100, 1.856e9),
}


def those_for(targets: Iterable[int]) -> dict[str, Gpu]:
    """The GPUs that run what was compiled for these targets."""
    targets = list(targets)
    return {name: gpu for name, gpu in GPUS.items() if code_for(gpu, targets)}


def code_for(gpu: Gpu, targets: Iterable[int]) -> int | None:
    """Of `targets`, the one whose machine code this GPU runs: its own, else the newest older one of its generation.

    Machine code made for sm_80 runs on sm_89 as it is (CUDA C++ Programming Guide, binary compatibility).
    """
    return max((t for t in targets if t // 10 == gpu.target // 10 and t <= gpu.target), default=None)
