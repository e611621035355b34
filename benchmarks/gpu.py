"""Timing on a GPU: events around each run, the L2 cache flushed before it, and the card's own peaks.

Written against the documented interfaces of CuPy and torch; it has not been run on a GPU yet.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

Clock = Callable[[Callable[[Any], Any], Any], float]
FLUSH = 512 << 20  # bytes written before each run: several times the largest L2 cache


def cupy_clock() -> Clock:
    """A clock for work that CuPy's current stream carries."""
    cupy = importlib.import_module("cupy")
    other = cupy.empty(FLUSH, cupy.uint8)
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()

    def clock(run: Callable[[Any], Any], inputs: Any) -> float:
        other.fill(0)
        start.record()
        run(inputs)
        stop.record()
        stop.synchronize()
        return cupy.cuda.get_elapsed_time(start, stop) / 1e3  # ms -> s

    return clock


def torch_clock() -> Clock:
    """A clock for work that torch's current stream carries."""
    torch = importlib.import_module("torch")
    other = torch.empty(FLUSH, dtype=torch.uint8, device="cuda")
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def clock(run: Callable[[Any], Any], inputs: Any) -> float:
        other.zero_()
        start.record()
        run(inputs)
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) / 1e3  # ms -> s

    return clock


def control(seconds: float, precision: str = "fp32") -> dict[str, float]:
    """The best of repeated fixed products (`gemm_gflops`) and copies (`copy_gbs`, bytes read plus written).

    Tensor cores multiply float16 as fast as bfloat16, and TF32 at half that rate, on every GPU of benchmarks/gpus.py: so
    one product, of float16, tells both peaks.
    """
    cupy = importlib.import_module("cupy")
    clock = cupy_clock()
    side, size = 4096, 1 << 30
    a = cupy.ones((side, side), cupy.float32 if precision == "fp32" else cupy.float16)
    out = cupy.empty_like(a)
    source, target = cupy.zeros(size, cupy.uint8), cupy.empty(size, cupy.uint8)

    def best(work: Callable[[Any], Any]) -> float:
        times: list[float] = []
        while len(times) < 5 or sum(times) < seconds / 2:
            times.append(clock(work, None))
        return min(times[1:])

    gemm = 2 * side**3 / best(lambda _: cupy.matmul(a, a, out=out)) / (2 if precision == "tf32" else 1)
    copy = 2 * size / best(lambda _: cupy.copyto(target, source))
    return {"gemm_gflops": gemm / 1e9, "copy_gbs": copy / 1e9}
