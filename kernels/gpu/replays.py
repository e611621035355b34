"""The seconds that kernels take on a GPU, and they alone: a call is captured as a CUDA graph, and its replays are timed.

    replays = Replays(device)
    output = replays.capture(lambda: conv2d.forward(x, w, geometry=geometry))
    seconds = [replays.seconds() for _ in range(10)]     # `output` holds what the last of these has put out

Python takes as long to launch a kernel as many a kernel runs (`python -m benchmarks host_cost`). Between two events around a
call from Python the GPU would mostly wait, and whatever it ran would seem to take the same time. Ahead of each replay several
times the largest L2 cache is written, so that inputs come from memory, as in a network they mostly do.

On `interpret` the noted launches are run again: the same calls in the same order, whose times mean nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from kernels.device import Device
from kernels.gpu.cuda_graph import Graph

T = TypeVar("T")
FLUSH = 512 << 20  # bytes


class Replays:
    """A call, captured, and a clock for its replays. Run the call once before: kernels are compiled then."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.compiles = device.name == "cuda"
        self.least = 10 if self.compiles else 1  # replays that make a measurement
        self.graph: Graph | None = None
        if device.name == "cuda":
            event = device.xp.cuda.Event
            self.other, self.start, self.stop = device.xp.empty(FLUSH, np.uint8), event(), event()

    def capture(self, run: Callable[[], T]) -> T:
        """What `run` returns, as the replays leave it."""
        self.graph = Graph(self.device)
        output = self.graph.capture(run)
        if self.compiles:
            self.graph.replay()  # once with the host's part, which is not timed
        return output

    def seconds(self) -> float:
        """Of one replay."""
        assert self.graph is not None, "nothing was captured"
        if self.device.name != "cuda":
            start = time.perf_counter()
            self.graph.replay()
            return time.perf_counter() - start
        with self.graph.stream:
            self.other.fill(0)
            self.start.record()
            self.graph.graph.launch(self.graph.stream)
            self.stop.record()
        self.stop.synchronize()
        return self.device.xp.cuda.get_elapsed_time(self.start, self.stop) / 1e3  # ms -> s
