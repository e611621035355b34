"""How the CPU kernels use the cores: one pool of threads at a time, compiled code kept on disk, buffers used again.

Our loops are compiled by numba and run in threads of our own, each of which calls BLAS for its part. If BLAS then starts threads of its own,
the pools fight and everything takes several times longer. So while one of our kernels runs, BLAS is held to one
thread; afterwards it has its own number back, for the user's other code.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  loaded before the limits are set up, or they would miss its BLAS
from numba import njit
from numba.core import event
from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
T = TypeVar("T")

# Sums may be reordered, which vector code needs; NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = dict(
    cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"}
)
kernel = njit(**OPTIONS)
"""Compiles a function that one thread runs, without Python's global lock."""

COUNT: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
# the cores this process may use, or the environment's NUMBA_NUM_THREADS
GRAIN = 1 << 17
"""Numbers worth handing to a second thread: about 40 microseconds' work, twice what handing them over costs."""
MACS = 16
"""Multiplications of a matrix product that cost as much as moving one number."""

_lock = threading.RLock()
_blas = [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]
_buffers: dict[str, np.ndarray] = {}
_workers: list[tuple[queue.SimpleQueue[Any], queue.SimpleQueue[Any]]] = []


def share(function: Callable[..., None], count: int, work: int, *args: Any) -> None:
    """Run function(first, last, *args) on parts of range(count), one part on each core, and wait for all.

    work  numbers read and written in all, which tells how many threads pay
    """
    parts = max(1, min(COUNT, count, work // GRAIN))
    bounds = [count * i // parts for i in range(parts + 1)]
    while len(_workers) < parts - 1:
        _workers.append((queue.SimpleQueue(), queue.SimpleQueue()))
        threading.Thread(target=_serve, args=_workers[-1], daemon=True).start()
    for i in range(1, parts):
        _workers[i - 1][0].put((function, bounds[i], bounds[i + 1], args))
    problems = []
    try:
        function(bounds[0], bounds[1], *args)
    finally:
        problems = [p for p in (done.get() for _, done in _workers[: parts - 1]) if p is not None]
    if problems:
        raise problems[0]


def _serve(tasks: queue.SimpleQueue[Any], done: queue.SimpleQueue[Any]) -> None:
    """A worker: take parts, run them, say when they are done."""
    while True:
        function, first, last, args = tasks.get()
        problem = None
        try:
            function(first, last, *args)
        except BaseException as error:  # noqa: BLE001  whatever it is, the caller raises it
            problem = error
        del function, args  # or the arrays would live until the next task
        done.put(problem)


def _forget() -> None:
    """In a forked child: there are no workers yet."""
    global _lock
    _workers.clear()
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def alone(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator for the functions of `cpu.py`: one call at a time, for the workers and the buffers are shared."""

    @functools.wraps(function)
    def locked(*args: P.args, **kwargs: P.kwargs) -> T:
        with _lock:
            return function(*args, **kwargs)

    return locked


def one_pool(function: Callable[P, T]) -> Callable[P, T]:
    """`alone`, for functions that call BLAS: it keeps to one thread inside."""

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with _lock:
            before = [(lib, count) for lib in _blas if (count := lib.get_num_threads()) != 1]
            for lib, _ in before:
                lib.set_num_threads(1)
            try:
                return function(*args, **kwargs)
            finally:
                for lib, count in before:
                    lib.set_num_threads(count)

    return limited


def ready(x: np.ndarray) -> np.ndarray:
    """`x` as compiled code takes it, C-contiguous and writeable: itself where it can be, else a copy."""
    return x if x.flags.c_contiguous and x.flags.writeable else np.require(x, requirements=("C", "W"))


def scratch(name: str, *shape: int) -> np.ndarray:
    """An uninitialised float32 buffer of that shape, the same memory whenever `name` is asked for again.

    Only for values that do not outlive the kernel's call.
    """
    size = math.prod(shape)
    buffer = _buffers.get(name)
    if buffer is None or buffer.size < size:
        buffer = _buffers[name] = np.empty(size, np.float32)
    return buffer[:size].reshape(shape)


def _keep_freed_memory() -> None:
    """Ask glibc not to hand freed memory back: the next step wants as much again, and clearing new pages takes time."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt:
            trim_threshold, mmap_threshold = -1, -3
            mallopt(trim_threshold, 2**31 - 1)
            mallopt(mmap_threshold, 2**25)


_keep_freed_memory()


class _Announce(event.Listener):
    """Says once why the first step takes long."""

    def on_start(self, event: Any) -> None:
        if not self.said:
            self.said = True
            print("compiling CPU kernels, once: about 15 s ...", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass

    said = False


event.register("numba:compile", _Announce())
