"""Timing on a GPU: replays of CUDA graphs, ours and torch's alike, with the L2 cache flushed before each; and the card's own peaks.

Written against the documented interfaces of CuPy and torch; it has not been run on a GPU yet.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import numpy as np

from kernels.device import get_device
from kernels.gpu import replays
from kernels.gpu.replays import FLUSH

T = TypeVar("T")


class Clock(Protocol):
    """Times a call without the Python around it."""

    compiles: bool
    """Whether a call must have run once before it is captured: kernels are compiled then, and algorithms chosen."""
    least: int
    """Replays that make a measurement, at least."""

    def stream(self) -> AbstractContextManager[Any]:
        """Where everything is to run, forwards whose backward is timed among it."""

    def capture(self, run: Callable[[], T]) -> T:
        """What `run` returns, as the replays leave it."""

    def seconds(self) -> float:
        """Of one replay, on a cold L2 cache."""


class CupyClock(replays.Replays):
    """For our kernels; it has a stream of its own for captures alone."""

    def __init__(self, device: str = "cuda") -> None:
        super().__init__(get_device(device))

    def stream(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()


class TorchClock:
    """For torch's. A backward runs on the stream of its forward, so all of it runs on the one that is captured."""

    compiles, least = True, 10

    def __init__(self) -> None:
        torch = importlib.import_module("torch")
        self.cuda, self.own = torch.cuda, torch.cuda.Stream()
        self.other = torch.empty(FLUSH, dtype=torch.uint8, device="cuda")
        self.start, self.stop = (self.cuda.Event(enable_timing=True) for _ in range(2))

    def stream(self) -> AbstractContextManager[Any]:
        return self.cuda.stream(self.own)

    def capture(self, run: Callable[[], T]) -> T:
        self.cuda.synchronize()
        self.graph = self.cuda.CUDAGraph()
        with self.cuda.graph(self.graph, stream=self.own):
            return run()

    def seconds(self) -> float:
        self.other.zero_()
        self.start.record()
        self.graph.replay()
        self.stop.record()
        self.stop.synchronize()
        return self.start.elapsed_time(self.stop) / 1e3  # ms -> s


def control(seconds: float, precision: str = "fp32") -> dict[str, float]:
    """The best of repeated fixed products (`gemm_gflops`) and copies (`copy_gbs`, bytes read plus written).

    Of random numbers: on zeros or ones a GPU draws less power, and keeps a higher clock. Tensor cores multiply float16 as fast
    as bfloat16, and TF32 at half that rate, on every GPU of benchmarks/gpus.py: so one product, of float16, tells both
    peaks. It is large enough to keep all multiprocessors busy to the end.
    """
    xp = get_device("cuda").xp
    side, size = 8192 if precision != "fp32" else 4096, 1 << 30
    a = xp.asarray(normal((side, side)).astype(np.float32 if precision == "fp32" else np.float16))
    out = xp.empty_like(a)
    source = xp.asarray(normal((size // 4,)))
    target = xp.empty_like(source)
    gemm = 2 * side**3 / best(lambda: xp.matmul(a, a, out=out), seconds / 2) / (2 if precision == "tf32" else 1)
    copy = 2 * size / best(lambda: xp.copyto(target, source), seconds / 2)
    return {"gemm_gflops": gemm / 1e9, "copy_gbs": copy / 1e9}


def normal(shape: tuple[int, ...]) -> np.ndarray:
    """Random numbers, a million different ones over and over."""
    some = np.random.default_rng(0).standard_normal(1 << 20, np.float32)
    return np.resize(some, shape)


def best(work: Callable[[], Any], seconds: float) -> float:
    """The shortest of the runs that fit into `seconds`, five at least. They take a GPU ten times as long as launching them takes
    Python, and cuBLAS cannot be captured through CuPy: so these are timed between two events."""
    cuda = get_device("cuda").xp.cuda
    start, stop = cuda.Event(), cuda.Event()
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        start.record()
        work()
        stop.record()
        stop.synchronize()
        times.append(cuda.get_elapsed_time(start, stop) / 1e3)  # ms -> s
    return min(times[1:])
