"""How the CPU's loops are compiled: by numba, to code that runs without Python's global lock and is kept on disk."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import event
from numba.extending import register_jitable

from kernels.caches import can_keep_loops
from kernels.cpu import threads

# Sums may be reordered, which vector code needs; NaN and infinity keep their meaning. Nothing but numba calls these functions.
OPTIONS: dict[str, Any] = dict(
    nogil=True, error_model="numpy", no_cfunc_wrapper=True, fastmath={"reassoc", "contract", "arcp", "nsz"}
)
# numba finds kept code by a function's name and file. What it calls from these files is compiled into it, so they count too.
SHARED = [
    Path(__file__).parents[1] / name
    for name in (
        "cpu/gemm.py",
        "cpu/linear.py",
        "cpu/multi_tensor.py",
        "cpu/compiler.py",
        "conv2d/winograd_layout.py",
        "conv2d/winograd_transforms.py",
    )
]
# So does this module's name: kept code finds modules by theirs, and the same files may be imported under others (palindrome_gan).
_digest = hashlib.sha256(b"".join([__name__.encode(), *(file.read_bytes() for file in SHARED)])).hexdigest()[:12]


def kernel(function: Callable[..., Any]) -> Any:
    """Compiles a function that one thread runs, without Python's global lock; or takes the code kept on disk, if it can be.

    Called from Python: from compiled code a call with a constant among its arguments would compile it once more.
    """
    function.__qualname__ += f"_{_digest}"
    if can_keep_loops(function.__code__.co_filename):
        with contextlib.suppress(RuntimeError):  # numba found no folder after all
            return njit(**OPTIONS, cache=True)(function)
    _Announce.often = (
        "at every start, for no folder can be written in which to keep them (NUMBA_CACHE_DIR names another)"
    )
    return njit(**OPTIONS)(function)


def subroutine(function: Callable[..., Any]) -> Any:
    """Lets compiled code call a function, which becomes part of it; for Python it stays what it is. Compiled without what would
    let Python call it, and once for constants and variables alike."""
    return register_jitable(**OPTIONS)(function)


def _helped() -> bool:
    """Whether another core now compiles what the first step will want later: kernels/rehearsal.py, until this process ends."""
    if threads.COUNT < 2 or not sys.executable:
        return False
    program = f"from {__name__.removesuffix('cpu.compiler')}rehearsal import rehearse; rehearse()"
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    try:
        helper = subprocess.Popen(
            [sys.executable, "-P", "-c", program], env={**os.environ, "PYTHONPATH": path, "NUMBA_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return False
    atexit.register(helper.wait)
    atexit.register(helper.kill)  # comes before the wait
    return True


class _Announce(event.Listener):
    """Says once why the first step takes long, and has others help."""

    def on_start(self, event: Any) -> None:
        if not self.said and event.data["dispatcher"].py_func.__qualname__.endswith(_digest):
            self.said = True
            seconds = 7 if self.often == "once" and _helped() else 10
            print(f"compiling CPU kernels, {self.often}: about {seconds} s ...", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass

    said, often = False, "once"


class _Patience(event.Listener):
    """Holds Ctrl-C back while the main thread compiles, seconds at a time. An exception in the middle of a call to LLVM would leave
    LLVM's lock taken, and whoever compiles next would wait for ever."""

    def __init__(self) -> None:
        self.depth, self.asked, self.handler = 0, False, None  # type: int, bool, Any

    def on_start(self, event: Any) -> None:
        self.depth += 1  # one thread at a time compiles
        handler = signal.getsignal(signal.SIGINT)
        if self.depth == 1 and threading.current_thread() is threading.main_thread() and callable(handler):
            self.asked, self.handler = False, handler
            signal.signal(signal.SIGINT, self.ask)

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if self.depth == 0 and self.handler is not None:
            handler, self.handler = self.handler, None
            signal.signal(signal.SIGINT, handler)
            if self.asked:
                handler(signal.SIGINT, None)

    def ask(self, number: int, frame: Any) -> None:
        self.asked = True


event.register("numba:compile", _Announce())
event.register("numba:compile", _Patience())
