"""Files that are never seen half-written, and the room there is for them."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from train.errors import UserError


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object], size: int = 0) -> None:
    """Let `write` fill a temporary file beside `path`, force it to the disk, then put it in the place of `path`.

    `size` is the number of bytes about to be written, for the message. Raises `UserError` on any OSError; then, as on
    any other exception, `path` is untouched and the temporary file is gone. One that a killed process left behind is
    removed by the next call for the same path.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.iterdir():
            if stale.name.startswith(f".{path.name}.") and stale.name.endswith(".tmp"):
                stale.unlink()
        if size > free_bytes(path.parent):  # known before the first byte: other programs keep what room there is
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())  # else a power cut after the rename may leave an empty file under the good name
            os.replace(temporary, path)
        except BaseException:  # Ctrl-C too
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        free = free_bytes(path.parent)
        beside = f", where {int(free):,} are free" if math.isfinite(free) else ""
        needed = f" It needs {size:,} bytes there{beside}." if size else ""
        kept = " The earlier file is untouched." if path.exists() else ""
        raise UserError(
            f"{path}: cannot be written: {error.strerror or error}.{needed}{kept} "
            "Make room, check that you may write in this folder, or choose another --checkpoints_dir."
        ) from error
    with contextlib.suppress(OSError):  # Windows cannot open a folder; some network disks cannot sync one
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # makes the rename itself last through a power cut
        finally:
            os.close(folder)


def free_bytes(folder: Path) -> float:
    """Room on the disk of `folder`, or of the nearest folder above that exists; infinite where the system does not tell."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(next(f for f in (folder, *folder.absolute().parents) if f.exists())).free
    return math.inf
