"""How the CPU kernels use the cores: threads that take work as they come free, and buffers used again.

Compiled loops (kernels/cpu/compiler.py) run without Python's global lock. One loop is cut into pieces (`share`), or several
pieces of Python run at the same time (`together`); who has ended one takes the next that is left. So a core that has other
things to do, too, costs its own part of the time only, and a thread that has nothing left to do helps in the loops of the others.
How a loop is cut never changes its result. Nothing here loads the compiler.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import math
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from kernels.cpu.noted import Noted, here, noting, plain

T = TypeVar("T")
R = TypeVar("R")

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
COUNT = int(os.environ.get("NUMBA_NUM_THREADS") or CORES)
"""Threads: as many as the cores this process may use, or as numba would be told to take."""
GRAIN = 1 << 17
"""Numbers worth handing to a second thread: about 40 microseconds' work, three times what handing them over costs."""
MACS = 16
"""Multiplications of a matrix product that cost as much as moving one number."""

PIECE, PIECES = 1 << 20, 4
"""Numbers in a piece, at least, where a loop is cut into more pieces than threads; and pieces for each thread, at most."""


class _Own(threading.local):
    """A thread's buffers, by their names."""

    def __init__(self) -> None:
        _buffers.append(vars(self))


_buffers: list[dict[str, np.ndarray]] = []  # of every thread
_own = _Own()
_threads: list[threading.Thread] = []  # those started here, one less than the cores
_idle: list[queue.SimpleQueue[Any]] = []  # the inbox of each thread that waits for work


def use(count: int) -> None:
    """Take at most so many threads from here on; for a process that shares its cores with others. Call it before any kernel runs."""
    global COUNT
    COUNT = max(1, min(COUNT, count))


def share(function: Callable[..., None], count: int, work: int, *args: Any, least: int = 1) -> None:
    """Run function(first, last, *args) on pieces of range(count), here and on threads that are idle, and wait for all.

    work   numbers read and written in all, which tells how many threads and pieces pay
    least  of `count` in a piece where there are more pieces than threads; for functions to which each piece costs something
    """
    if here.notes is not None:
        here.notes.note(share, function, count, work, *args, least=least)
        args = plain(args)
    threads = parts_of(count, work)
    if threads < 2:
        return _run(function, 0, count, args)
    pieces = threads * max(1, min(PIECES, work // (threads * PIECE), count // (threads * least)))
    size, longer = divmod(count, pieces)  # the longer ones first: then threads that are equally fast end together
    _spread(
        lambda i: _run(function, i * size + min(i, longer), (i + 1) * size + min(i + 1, longer), args), pieces, threads
    )


def parts_of(count: int, work: int) -> int:
    """How many threads `share` would ask for now."""
    while len(_threads) < COUNT - 1:
        inbox = queue.SimpleQueue[Any]()
        _idle.append(inbox)
        _threads.append(threading.Thread(target=_serve, args=(inbox,), daemon=True))
        _threads[-1].start()
    return min(COUNT, 1 + len(_idle), count, work // GRAIN)


def together(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """function(item) for each, as many at a time as there are threads. Loops inside are shared with threads that are idle."""
    results: dict[int, R] = {}
    lanes = None if here.notes is None else here.notes.fork(len(items))

    def run(i: int) -> None:
        with noting(None if lanes is None else lanes[i]):
            results[i] = function(items[i])

    parts_of(len(items), 0)
    _spread(run, len(items), len(items), helping=True)
    return [results[i] for i in range(len(items))]


def _spread(task: Callable[[int], None], pieces: int, threads: int, helping: bool = False) -> None:
    """task(i) for i in range(pieces), each taken by who comes free, of so many threads; when all have ended, raise the first piece's error.

    helping  this thread takes part in others' loops while it waits. None of its own buffers may be in use
    """
    taken, ended, ends = itertools.count(), itertools.count(1), queue.SimpleQueue[Any]()
    problems = dict[int, BaseException]()

    def work() -> None:
        while (i := next(taken)) < pieces:  # a step that Python's lock makes whole
            try:
                task(i)
            except BaseException as problem:  # noqa: BLE001  whatever it is, the caller raises it
                problems[i] = problem
            if next(ended) == pieces:
                ends.put(None)

    for inbox in _idle[: threads - 1]:  # who wakes late finds nothing left: nobody waits for that
        inbox.put(work)
    work()
    if helping:
        _idle.append(ends)
        _serve(ends)
    else:
        ends.get()
    if problems:
        raise problems[min(problems)]  # the same one, whichever thread was faster


def _run(function: Callable[..., None], first: int, last: int, args: tuple[Any, ...]) -> None:
    """One piece, in this thread."""
    function(first, last, *[scratch(a.name, *a.shape) if type(a) is Own else a for a in args])


def _serve(inbox: queue.SimpleQueue[Any]) -> None:
    """Do what comes into an inbox that is among the idle ones, until None comes."""
    try:
        while (work := inbox.get()) is not None:
            _idle.remove(inbox)
            work()
            del work  # or its arrays would live until the next one
            _idle.append(inbox)
    finally:  # after Ctrl-C, too: what came into an inbox that nobody reads would stay there
        with contextlib.suppress(ValueError):
            _idle.remove(inbox)


def _forget() -> None:
    """In a forked child: there are no other threads yet."""
    _threads.clear()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def ready(x: np.ndarray) -> np.ndarray:
    """`x` as compiled code takes it, C-contiguous and writeable: itself where it can be, else a copy."""
    return x if x.flags.c_contiguous and x.flags.writeable else x.copy()


def scratch(name: str, *shape: int) -> np.ndarray:
    """An uninitialised float32 buffer of that shape, the same memory whenever `name` is asked for again.

    Only for values that do not outlive the kernel's call.
    """
    if here.notes is not None:  # the next time another thread may do this
        return empty(*shape)
    size, buffers = math.prod(shape), vars(_own)
    buffer = buffers.get(name)
    if buffer is None or buffer.size < size:
        buffer = buffers[name] = empty(size)
    return buffer[:size].reshape(shape)


class Own:
    """Stands for `scratch(name, *shape)` among the arguments of `share`: each thread gets its own."""

    def __init__(self, name: str, *shape: int) -> None:
        self.name, self.shape = name, shape


def empty(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    """An uninitialised array that starts at a cache line, so that no vector of the CPU crosses one."""
    size = np.dtype(dtype).itemsize
    buffer = np.empty(math.prod(shape) + 64 // size - 1, dtype)
    skipped = -buffer.ctypes.data % 64 // size
    array = buffer[skipped : skipped + math.prod(shape)].reshape(shape)
    if here.notes is None:
        return array
    here.notes.made(buffer)
    return array.view(Noted)


def zeros(*shape: int) -> np.ndarray:
    """A float32 array of zeros."""
    if here.notes is None:
        return np.zeros(shape, np.float32)  # whose pages are cleared when they are first wanted
    array = empty(*shape)
    array.fill(0)
    return array


def _keep_freed_memory() -> None:
    """Ask glibc not to hand freed memory back: the next step wants as much again, and clearing new pages takes time."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt:
            trim_threshold, mmap_threshold = -1, -3
            mallopt(trim_threshold, 2**31 - 1)
            mallopt(mmap_threshold, 2**25)


_keep_freed_memory()


def forget_scratch() -> None:
    """Hand all memory back that nobody has, buffers of all threads too: what comes next wants others. No loop may be running."""
    for buffers in _buffers:
        buffers.clear()
    if sys.platform == "linux":
        give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if give_back:
            give_back(0)
