"""The least time that GPUs could take: arithmetic at their peak or memory at full speed, whichever is longer.

Peaks are dense, without sparsity, from NVIDIA's data sheets: A100 80GB SXM, H100 SXM, H200 SXM, HGX B200 (per GPU), and the
Ada Lovelace architecture whitepaper for the RTX 4090 (products of bf16 added up in float32). Real kernels reach perhaps two
thirds of their peak.

Programs are dealt out to the multiprocessors whole, so a launch takes as long as the busiest one: with 140 equal programs
on 132 of them, that is twice the average.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

OVERHEAD = 1.5e-6  # s from one kernel to the next within a CUDA graph, where each waits for the one before


@dataclass(frozen=True)
class Gpu:
    """Peaks of one GPU: operations per second by kind of product, bytes per second, multiprocessors, capability."""

    flops: dict[str, float]
    bandwidth: float
    multiprocessors: int
    target: int


def _tera(fp32: float, tf32: float, bf16: float) -> dict[str, float]:
    return {"fp32": fp32 * 1e12, "tf32": tf32 * 1e12, "bf16": bf16 * 1e12}


GPUS = {
    "A100": Gpu(_tera(19.5, 156, 312), 2.039e12, 108, 80),
    "RTX 4090": Gpu(_tera(82.6, 82.6, 165.2), 1.008e12, 128, 89),
    "H100": Gpu(_tera(66.9, 494.7, 989.4), 3.35e12, 132, 90),
    "H200": Gpu(_tera(66.9, 494.7, 989.4), 4.8e12, 132, 90),
    "B200": Gpu(_tera(75, 1125, 2250), 7.7e12, 148, 100),
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


def seconds(gpu: Gpu, products: str, flops: int, nbytes: int) -> float:
    """The roofline: the longer of arithmetic and memory."""
    return max(flops / gpu.flops[products or "fp32"], nbytes / gpu.bandwidth)


def unevenness(gpu: Gpu, programs: int) -> float:
    """Programs on the busiest multiprocessor over the average: 1 where they divide evenly."""
    return math.ceil(programs / gpu.multiprocessors) * gpu.multiprocessors / max(programs, 1)
