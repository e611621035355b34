"""How a command ends: its exit status, and every mishap in one line on stderr."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TextIO

from kernels.device import Device, peak_bytes
from train.errors import UserError
from train.files.sizes import size_text
from train.ranks.launcher import give_up, group, leave

MEND = "make room, check that you may write there, or choose another --checkpoints_dir"
KEPT = "stopped at once; what was saved before is kept"
P = ParamSpec("P")


def exit_code(mend: str = MEND, kept: str = KEPT) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Decorates a command, which returns its exit status: a mishap is told in one line and has a status of its own.

    `mend` says what helps where the disk refuses, `kept` what a Ctrl-C leaves behind. What was noted on the mishap on its
    way here, such as how to go on, follows on lines of its own.
    """

    def decorated(command: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(command)
        def told(*args: P.args, **kwargs: P.kwargs) -> int:
            if isinstance(sys.stdout, io.TextIOWrapper):  # what it has no letters for is escaped, as stderr does it
                sys.stdout.reconfigure(errors="backslashreplace")
            try:
                with interruptible():
                    status = command(*args, **kwargs)
                    leave()
                    return status
            except UserError as error:
                return mishap(error, str(error))
            except MemoryError as error:
                return mishap(error, str(out_of_memory(error)))
            except OSError as error:
                where = f"{error.filename}: " if error.filename else ""
                return mishap(error, f"{where}{error.strerror or error}; {mend}")
            except KeyboardInterrupt:
                if group().size > 1:
                    give_up(f"\n{kept}", 128 + signal.SIGINT)
                say(f"\n{kept}", sys.stderr)
                return 128 + signal.SIGINT

        return told

    return decorated


def mishap(error: BaseException, words: str) -> int:
    """Tell it; the exit status. What befell one of several ranks ends all of them."""
    ranks, notes = group(), getattr(error, "__notes__", ())
    if ranks.size == 1:
        say("\n".join([f"error: {words}", *notes]), sys.stderr)
    elif not getattr(error, "everywhere", False):
        give_up("\n".join([f"error: {ranks.name}: {words}", *notes]), 2)
    else:
        if ranks.leads:
            say("\n".join([f"error: {words}", *notes]), sys.stderr)
        leave()
    return 2


def say(text: str, file: TextIO | None = None) -> None:
    """Print, to stdout unless another file is given, if there is still somebody who reads it."""
    if file is None and not group().leads:
        return  # rank 0 speaks
    file = file or sys.stdout
    try:
        print(text, file=file, flush=True)
    except (OSError, ValueError):  # a pipe or terminal that was closed: what is left to say goes nowhere
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, file.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Within this context Ctrl-C raises KeyboardInterrupt, even where it ends the process at once outside of it (train/__init__.py)."""
    here = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    if here:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if here:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def out_of_memory(error: MemoryError) -> UserError:
    """What was asked for, how much was held, and the options that need less. NumPy and CuPy raise the same error."""
    on_gpu = type(error).__module__.startswith("cupy")
    peak = peak_bytes(Device("cuda" if on_gpu else "cpu"))
    asked = str(error).rstrip(".") or "an array could not be made"
    return UserError(
        f"out of memory on {'the GPU' if on_gpu else 'this machine'}: {asked}"
        + (f"; at most {size_text(peak)} were held" if peak else "")
        + ". A smaller --crop_size needs much less (half the side, a quarter of the memory); so do --batch_size 1 (--accumulate makes up for it), "
        + ("--precision bf16, " if on_gpu else "")
        + "--checkpointing, a smaller --ngf or --ndf, and, somewhat, fewer --n_blocks"
    )
