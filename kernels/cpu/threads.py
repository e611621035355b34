"""How the CPU kernels use the cores: one pool of threads, buffers used again.

Compiled loops (kernels/cpu/compiler.py) run without Python's global lock. One loop is shared among all threads (`share`), or
several pieces of Python run at the same time with their loops unshared (`together`). How a loop is cut never changes its
result. Nothing here loads the compiler.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
R = TypeVar("R")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
COUNT = int(os.environ.get("NUMBA_NUM_THREADS") or CORES)
"""Threads: as many as the cores this process may use, or as numba would be told to take."""
GRAIN = 1 << 17
"""Numbers worth handing to a second thread: about 40 microseconds' work, twice what handing them over costs."""
MACS = 16
"""Multiplications of a matrix product that cost as much as moving one number."""

_pool = threading.Lock()  # held while the workers are at work
_own = threading.local()  # the buffers of each thread
_workers: list[tuple[queue.SimpleQueue[Any], queue.SimpleQueue[Any]]] = []


def use(count: int) -> None:
    """Take at most so many threads from here on; for a process that shares its cores with others. Call it before any kernel runs."""
    global COUNT
    COUNT = max(1, min(COUNT, count))


def share(function: Callable[..., None], count: int, work: int, *args: Any) -> None:
    """Run function(first, last, *args) on parts of range(count), one part on each core, and wait for all.

    work  numbers read and written in all, which tells how many threads pay

    Where the workers are busy with something else, as within `together`, this thread runs all parts.
    """
    parts = parts_of(count, work)
    if parts < 2 or not _pool.acquire(blocking=False):
        return _run(function, 0, count, args)
    bounds = [count * i // parts for i in range(parts + 1)]
    try:
        _spread([functools.partial(_run, function, *ends, args) for ends in itertools.pairwise(bounds)])
    finally:
        _pool.release()


def parts_of(count: int, work: int) -> int:
    """Into how many parts `share` would cut a loop now."""
    return 1 if _pool.locked() else min(COUNT, count, work // GRAIN)


def together(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """function(item) for each, each in a thread, on one core: what it shares inside, it shares with nobody."""
    if not _pool.acquire(blocking=False):
        return [function(item) for item in items]
    results: dict[int, R] = {}

    def run(i: int) -> None:
        results[i] = function(items[i])

    try:
        _spread([functools.partial(run, i) for i in range(len(items))])
    finally:
        _pool.release()
    return [results[i] for i in range(len(items))]


def _spread(tasks: Sequence[Callable[[], None]]) -> None:
    """Run the tasks at the same time, the first here; when all have ended, raise the first error."""
    while len(_workers) < len(tasks) - 1:
        _workers.append((queue.SimpleQueue(), queue.SimpleQueue()))
        threading.Thread(target=_serve, args=_workers[-1], daemon=True).start()
    for task, (inbox, _) in zip(tasks[1:], _workers, strict=False):
        inbox.put(task)
    problems = []
    try:
        tasks[0]()
    finally:
        problems = [problem for _, done in _workers[: len(tasks) - 1] if (problem := done.get()) is not None]
    if problems:
        raise problems[0]


def _run(function: Callable[..., None], first: int, last: int, args: tuple[Any, ...]) -> None:
    """One part, in this thread."""
    function(first, last, *[scratch(a.name, *a.shape) if type(a) is Own else a for a in args])


def _serve(inbox: queue.SimpleQueue[Any], done: queue.SimpleQueue[Any]) -> None:
    """A worker: take tasks, run them, say when they are done."""
    while True:
        task = inbox.get()
        problem = None
        try:
            task()
        except BaseException as error:  # noqa: BLE001  whatever it is, the caller raises it
            problem = error
        del task  # or its arrays would live until the next one
        done.put(problem)


def _forget() -> None:
    """In a forked child: there are no workers yet."""
    global _pool
    _workers.clear()
    _pool = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def ready(x: np.ndarray) -> np.ndarray:
    """`x` as compiled code takes it, C-contiguous and writeable: itself where it can be, else a copy."""
    return x if x.flags.c_contiguous and x.flags.writeable else np.require(x, requirements=("C", "W"))


def scratch(name: str, *shape: int) -> np.ndarray:
    """An uninitialised float32 buffer of that shape, the same memory whenever `name` is asked for again.

    Only for values that do not outlive the kernel's call.
    """
    size, buffers = math.prod(shape), vars(_own)
    buffer = buffers.get(name)
    if buffer is None or buffer.size < size:
        buffer = buffers[name] = empty(size)
    return buffer[:size].reshape(shape)


class Own:
    """Stands for `scratch(name, *shape)` among the arguments of `share`: each thread gets its own."""

    def __init__(self, name: str, *shape: int) -> None:
        self.name, self.shape = name, shape


def empty(*shape: int) -> np.ndarray:
    """An uninitialised float32 array that starts at a cache line, so that no vector of the CPU crosses one."""
    buffer = np.empty(math.prod(shape) + 15, np.float32)
    skipped = -(buffer.ctypes.data // 4) % 16
    return buffer[skipped : skipped + math.prod(shape)].reshape(shape)


def _keep_freed_memory() -> None:
    """Ask glibc not to hand freed memory back: the next step wants as much again, and clearing new pages takes time."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt:
            trim_threshold, mmap_threshold = -1, -3
            mallopt(trim_threshold, 2**31 - 1)
            mallopt(mmap_threshold, 2**25)


_keep_freed_memory()
