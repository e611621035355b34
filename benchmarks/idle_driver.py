"""Triton's launching code, real but for the last call: a driver that launches nothing, and CuPy arrays that nothing reads.

Python's way to a launch (our `launch`, Triton's binder, its specialisation and its look-up of the compiled kernel) is the same
with a GPU and without. So it can be timed here (benchmarks/host_cost.py), and every launch of a step can be shown to reach the
compiler as it is described in records. What is not here: CUDA's own time for a launch, some 2 to 4 µs.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from kernels.gpu import grid_barrier
from kernels.gpu import launch as launching
from kernels.gpu.launch import Launch

NUMBERS = itertools.count(1000)
"""Of devices, so that no kernel prepared for one of them is found by another."""


class Driver:
    """What Triton asks of a driver, for a GPU of that capability in which kernels are loaded and never run."""

    def __init__(self, target: int) -> None:
        from triton.backends.compiler import GPUTarget

        number, gpu = next(NUMBERS), GPUTarget("cuda", target, 32)
        self.get_current_device: Callable[[], int] = lambda: number
        self.get_current_stream: Callable[[int], int] = lambda device: 0
        self.get_current_target = lambda: gpu
        self.get_device_capability = lambda device: divmod(target, 10)
        self.utils = self
        self.launcher_cls = lambda source, metadata: lambda *arguments: None

    def get_device_properties(self, device: int) -> dict[str, int]:
        return {"max_shared_mem": 227 << 10, "max_num_regs": 65536, "multiprocessor_count": 132, "warpSize": 32}

    def load_binary(self, *binary: Any) -> tuple[Any, ...]:
        """Module, function, registers, spills, most threads."""
        return 1, 1, 0, 0, 1024


class Uncompiled:
    """In the place of a compiled kernel, where compiling would take minutes: knows under which key a cache would have it."""

    function, packed_metadata, n_spills = 1, (), 0

    def __init__(self, source: Any, target: Any, options: dict[str, Any], _env_vars: Any = None) -> None:
        self.key = cache_key(source, target, options)

    def launch_metadata(self, *arguments: Any) -> None: ...

    def run(self, *arguments: Any) -> None: ...


def cache_key(source: Any, target: Any, options: dict[str, Any]) -> str:
    """Under which Triton keeps on disk what it compiles of `source`."""
    from triton.compiler.compiler import get_cache_invalidating_env_vars, get_cache_key, make_backend

    backend = make_backend(target)
    return get_cache_key(source, backend, backend.parse_options(dict(options)), get_cache_invalidating_env_vars())


@contextlib.contextmanager
def idle(target: int = 90, compiling: bool = False) -> Iterator[None]:
    """Launches on CuPy arrays go their whole way to a GPU sm_<target> that is not there; compiled on the way or, unless
    `compiling`, just looked up."""
    import triton.compiler
    from triton.runtime import driver

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(driver, "_active", Driver(target)))
        stack.enter_context(mock.patch.object(launching, "use_cupy", lambda: None))
        if not compiling:
            stack.enter_context(mock.patch.object(triton.compiler, "compile", Uncompiled))
        yield


@contextlib.contextmanager
def followed(target: int = 90, compiling: bool = False) -> Iterator[list[tuple[Launch, Any]]]:
    """Every launch on the device `interpret` also goes to Triton's JIT, with its own arguments: each as it is described in
    records, beside the kernel that the JIT has for it."""
    described, found = launching._describe, []

    def describe(kernel: Any, grid: Any, arguments: tuple, constexprs: dict, options: dict, *more: Any) -> Launch:
        launch = described(kernel, grid, arguments, constexprs, options, *more)
        pointers = [launching.Pointer(a) if launching._is_array(a) else a for a in arguments]
        found.append((launch, kernel[grid](*pointers, **constexprs, **options)))
        return launch

    with idle(target, compiling), mock.patch.object(launching, "_describe", describe):
        yield found


@contextlib.contextmanager
def cupy_arrays(size: int = 1 << 30) -> Iterator[None]:
    """CuPy arrays can be made inside, of at most so many bytes. All lie in the same memory, and it is the host's: they are
    real ones for whoever asks where and what they are, and never to be computed with."""
    import cupy

    memory = np.empty(size, np.uint8)  # never written to, so that the system need not provide it
    start = -memory.ctypes.data % 512
    pointer = cupy.cuda.UnownedMemory(memory.ctypes.data + start, size - start, memory, 0)
    with (
        cupy.cuda.using_allocator(lambda _: cupy.cuda.MemoryPointer(pointer, 0)),
        mock.patch.object(cupy, "asarray", lambda array, dtype=None: array),  # the real one asks which GPU this is
        mock.patch.object(grid_barrier, "_counters", lambda place: cupy.empty(grid_barrier.COUNTERS, np.int32)),
    ):
        yield
