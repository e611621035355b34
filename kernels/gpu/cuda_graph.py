"""A training step as one CUDA graph: recorded once, then launched as a whole, without Python between its kernels.

    graph = Graph(device)
    outputs = graph.capture(step)      # runs step's Python once; its kernels are noted, not run
    graph.replay()

A step can be captured if all it does on the device happens in memory that stays where it is. What differs from step to step
is made on the host, and said where it is made (kernels/device.py):

    from_host(device, make)            numbers for kernels: rates, coins, pictures. `make` is called anew for each replay
    repeated(action)                   what else the host must do in each step, such as to count it

Both do at once what they are given, so a step reads alike whether it is captured or not. In a graph, numbers from the host are
parts of one block, so that one copy takes all of them.

On `cuda` the graph owns the stream it was recorded on and a memory pool for all that the step allocates, so that no address
it knows is ever given to anybody else. Run the step as usual before: kernels are compiled then.

On `interpret` the noted launches are run again, in order, over the same arrays. A value that Python computed anew in each
step is then missing, which is how the tests prove a step sound; so is an operation of the array library between two kernels,
which a CUDA graph has (tests/replayed_arrays.py adds them).
The `cuda` path has been checked against CuPy's signatures; it has not run on a GPU.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from kernels.device import Array, Device, capture_in, count_pool, note_peak, to_host
from kernels.gpu.launch import hooks

T = TypeVar("T")
ALIGNED = 16  # bytes. Triton compiles a kernel anew for a pointer that is no multiple, and inside a capture nothing may be compiled
BLOCK = 4 << 20  # bytes: two pictures of 256 pixels and all else that a step is told


class Block:
    """Memory on the host, and as much on the device: `send` copies what its parts hold. Pinned, so that nobody waits for that."""

    def __init__(self, device: Device, size: int) -> None:
        self.host, self.array, self.used = pinned(device, size), device.xp.empty(size, np.uint8), 0

    def part(self, shape: tuple[int, ...], dtype: Any) -> tuple[np.ndarray, Array] | None:
        """Room for an array, on the host and on the device; None where it does not fit in what is left."""
        end = self.used + int(np.prod(shape)) * np.dtype(dtype).itemsize
        if end > len(self.host):
            return None
        inside, self.used = slice(self.used, end), -(-end // ALIGNED) * ALIGNED
        return self.host[inside].view(dtype).reshape(shape), self.array[inside].view(dtype).reshape(shape)

    def send(self, stream: Any = None) -> None:
        """One copy to the device, on `stream` on cuda."""
        if stream is None:
            self.array[: self.used] = self.host[: self.used]
        else:
            self.array[: self.used].set(self.host[: self.used], stream)


def pinned(device: Device, size: int) -> np.ndarray:
    """So many bytes of the host's memory, on `cuda` pinned: from and to there the GPU copies while the host goes on."""
    if device.name != "cuda":
        return np.zeros(size, np.uint8)
    return np.frombuffer(device.xp.cuda.alloc_pinned_memory(size), np.uint8, size)


class Graph:
    """The launches of a function, to be repeated without it."""

    runs = False  # what is captured is not run
    why_not = ""  # there is nothing that cannot be captured

    def __init__(self, device: Device) -> None:
        self.device = device
        self.kept: list[Any] = []  # arrays that the graph reads or writes and nobody else may hold
        self.host: list[Callable[[], Any]] = []  # what the host does for each replay; for the first the capture did it
        self.blocks = [Block(device, BLOCK)]
        self.copies: list[tuple[Array, Callable[[], Array]]] = []  # what `make` gave on the device
        self.launches: list[Callable[[], None]] = []  # on interpret
        self.graph: Any = None  # on cuda
        self.answer: np.ndarray | None = None  # on cuda, pinned
        self.replays = 0

    def capture(self, function: Callable[[], T]) -> T:
        """What `function` returns: arrays in it hold noise until the first replay. It must launch on this device only."""
        saved = hooks.allocate, hooks.perform
        try:
            with capture_in(self):
                return self._on_stream(function) if self.device.name == "cuda" else self._noted(function)
        finally:
            hooks.allocate, hooks.perform = saved

    def fed(self, make: Callable[[], Array]) -> Array:
        """See `from_host` in kernels/device.py."""
        value = make()
        if not isinstance(value, np.ndarray):
            array = self.device.xp.empty(value.shape, value.dtype)
            self.copies.append((array, make))
            return array
        host, array = self._room(value)
        self._take(host, value)
        self.host.append(lambda: self._take(host, to_host(make())))
        return array

    def again(self, action: Callable[[], Any]) -> None:
        """See `repeated` in kernels/device.py."""
        action()
        self.host.append(action)

    def _room(self, value: np.ndarray) -> tuple[np.ndarray, Array]:
        room = self.blocks[-1].part(value.shape, value.dtype)
        if room is None:
            self.blocks.append(Block(self.device, max(BLOCK, value.nbytes)))
            room = self.blocks[-1].part(value.shape, value.dtype)
        assert room is not None
        return room

    @staticmethod
    def _take(host: np.ndarray, value: np.ndarray) -> None:
        if value.shape != host.shape:
            raise RuntimeError(
                f"cuda_graph: {value.shape} numbers for a replay; the step was captured with {host.shape}"
            )
        host[...] = value

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
        self.pool, self.stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
        count_pool(self, self.pool)
        note_peak()
        cupy.get_default_memory_pool().free_all_blocks()  # what steps before have left
        with self.stream, cupy.cuda.using_allocator(self.pool.malloc):
            self.stream.begin_capture()
            try:
                result = function()
            except BaseException:
                with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):
                    self.stream.end_capture()
                raise
            self.graph = self.stream.end_capture()
        note_peak()
        return result

    def replay(self, wanted: Array | None = None) -> np.ndarray | None:
        """Run the launches on what the host makes now; returns when they are done, with what `wanted` holds then.

        The result lies in memory that the next replay overwrites. The host waits once.
        """
        for action in self.host if self.replays else ():
            action()
        self.replays += 1
        if self.device.name == "cuda":
            return self._launched(wanted)
        for block in self.blocks:
            block.send()
        for array, make in self.copies:
            array[...] = make()
        for launch in self.launches:
            launch()
        return wanted

    def _launched(self, wanted: Array | None) -> np.ndarray | None:
        import cupy

        self.stream.wait_event(cupy.cuda.get_current_stream().record())  # others may still write inputs and weights
        for block in self.blocks:
            block.send(self.stream)
        with self.stream:
            for array, make in self.copies:
                array[...] = self.device.asarray(make())
        self.graph.launch(self.stream)
        if wanted is not None:
            if self.answer is None or self.answer.shape != wanted.shape:
                self.answer = pinned(self.device, wanted.nbytes).view(wanted.dtype).reshape(wanted.shape)
            wanted.get(self.stream, out=self.answer, blocking=False)
        self.stream.synchronize()
        return None if wanted is None else self.answer
