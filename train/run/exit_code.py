"""How a command ends: its exit status, and every mishap in one line on stderr."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from kernels.device import Device
from kernels.memory import peak_bytes, size_text
from train.errors import UserError

MEND = "make room, check that you may write there, or choose another --checkpoints_dir"


def exit_code(
    work: Callable[[], int], mend: str = MEND, kept: str = "stopped at once; what was saved before is kept"
) -> int:
    """`work()`, which returns the exit status; a mishap is told in one line and has a status of its own.

    `mend` says what helps where the disk refuses, `kept` what a Ctrl-C leaves behind.
    """
    try:
        return work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"error: {out_of_memory(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; {mend}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{kept}", file=sys.stderr)
        return 128 + signal.SIGINT


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
