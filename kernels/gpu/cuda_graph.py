"""A training step as one CUDA graph: recorded once, then launched as a whole, without Python between its kernels.

    graph = Graph(device)
    outputs = graph.capture(step)      # runs step's Python once; its kernels are noted, not run
    inputs[...] = batch; control.send(); graph.replay()

A step can be captured if all it does on the device are launches over memory that stays where it is. What differs from
step to step comes in through input arrays, and through `Control`: numbers that kernels read on the device.

On `cuda` the graph owns the stream it was recorded on and a memory pool for all that the step allocates, so that no address
it knows is ever given to anybody else. Run the step as usual before: kernels are compiled then.

On `interpret` the noted launches are run again, in order, over the same arrays. A value that Python computed anew in each
step, or an operation of the array library between two kernels, is then missing, which is how the tests prove a step sound.
The `cuda` path has been checked against CuPy's signatures; it has not run on a GPU.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from kernels.device import Array, Device
from kernels.gpu.launch import hooks

T = TypeVar("T")


def capturing() -> bool:
    """Whether a graph is being captured: then no kernel runs and no value on the device may be looked at."""
    return hooks.capture is not None


class Control:
    """A few numbers that the host sets before a step and kernels read: `host` and, on the device, `array`."""

    def __init__(self, device: Device, shape: int | tuple[int, ...], dtype: Any) -> None:
        if capturing():
            raise RuntimeError("numbers made while a graph is captured are never sent: run the step once before")
        self.device = device
        self.host = np.zeros(shape, dtype)
        self.array: Array = device.xp.zeros(shape, dtype)

    def send(self) -> None:
        """Copy the numbers to the device; while a graph is captured, leave it to whoever replays the graph."""
        if not capturing():
            self.array[...] = self.device.asarray(self.host)


def joined(device: Device, controls: Sequence[Control]) -> Control:
    """One Control of 32-bit words of which `controls` become parts, so that one copy sends them all."""
    block = Control(device, sum(c.host.size for c in controls), np.int32)
    start = 0
    for control in controls:
        part, shape, dtype = slice(start, start + control.host.size), control.host.shape, control.host.dtype
        start = part.stop
        old = control.host
        control.host = block.host[part].view(dtype).reshape(shape)
        control.array = block.array[part].view(dtype).reshape(shape)
        control.host[...] = old
    return block


class Graph:
    """The launches of a function, to be repeated without it."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.kept: list[Any] = []  # arrays that the graph reads or writes and nobody else may hold
        self.launches: list[Callable[[], None]] = []  # on interpret
        self.graph: Any = None  # on cuda

    def capture(self, function: Callable[[], T]) -> T:
        """What `function` returns: arrays in it hold noise until the first replay. It must launch on this device only."""
        saved = hooks.allocate, hooks.perform, hooks.capture
        hooks.capture = self.kept
        try:
            return self._on_stream(function) if self.device.name == "cuda" else self._noted(function)
        finally:
            hooks.allocate, hooks.perform, hooks.capture = saved

    def _noted(self, function: Callable[[], T]) -> T:
        hooks.allocate = functools.partial(self._kept_array, hooks.allocate)
        hooks.perform = self.launches.append
        return function()

    def _kept_array(self, allocate: Callable[..., Array], *wanted: Any) -> Array:
        self.kept.append(allocate(*wanted))
        return self.kept[-1]

    def _on_stream(self, function: Callable[[], T]) -> T:
        import cupy

        cupy.cuda.get_current_stream().synchronize()
        cupy.get_default_memory_pool().free_all_blocks()  # what steps before have left
        self.pool, self.stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
        with self.stream, cupy.cuda.using_allocator(self.pool.malloc):
            self.stream.begin_capture()
            try:
                result = function()
            except BaseException:
                with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):
                    self.stream.end_capture()
                raise
            self.graph = self.stream.end_capture()
        return result

    def replay(self) -> None:
        """Run the launches over what the input arrays hold now; returns when they are done."""
        if self.device.name != "cuda":
            for launch in self.launches:
                launch()
            return
        import cupy

        cupy.cuda.get_current_stream().synchronize()  # inputs are written on another stream
        self.graph.launch(self.stream)
        self.stream.synchronize()
