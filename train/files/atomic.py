"""Files that are never seen half-written, and the room there is for them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from train.errors import UserError, shown
from train.files.lock import lock, same_file

LONGEST = 200  # bytes of a name to which more is added; most disks end names at 255
DAY = 86400  # s


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object], size: int = 0) -> None:
    """Let `write` fill a temporary file beside `path`, force it to the disk, then put it in the place of `path`.

    `size` is the number of bytes about to be written, for the message. Raises `UserError` on any OSError; then, as on
    any other exception, `path` is untouched and the temporary file is gone. One that a killed process left behind is
    removed by the next call for the same path; that of a process which still writes is left alone.
    """
    path = Path(path)
    start = _temporary(path)
    temporary = path.parent / f"{start}{os.getpid()}.tmp"
    try:
        make_folder(path.parent)
        remove_abandoned(path.parent, start)
        if size > free_bytes(path.parent):  # known before the first byte: other programs keep what room there is
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            with _opened(temporary) as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())  # else a power cut after the rename may leave an empty file under the good name
                if os.name == "nt":
                    file.close()  # Windows renames no open file, and removes none either
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
            f"{shown(path)}: cannot be written: {error.strerror or error}.{needed}{kept} "
            "Make room, check that you may write in this folder, or choose another --checkpoints_dir."
        ) from error
    sync_folder(path.parent)  # makes the rename itself last through a power cut


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write `data` atomically."""
    write_atomically(path, lambda file: file.write(data), size=len(data))


def write_text(path: str | Path, text: str) -> None:
    """Write text atomically, in UTF-8. Bytes of a file's name that are no UTF-8, as old zips leave them, are escaped: \\udce9."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def _temporary(path: Path) -> str:
    """How the names of temporary files for `path` begin."""
    name = os.fsencode(path.name)
    return f".{path.name if len(name) <= LONGEST else hashlib.sha256(name).hexdigest()[:32]}."


def _opened(temporary: Path) -> BinaryIO:
    """A new file, locked as long as it is open: whoever finds a temporary file without a lock may remove it."""
    while True:
        file = open(temporary, "xb")  # noqa: SIM115  the caller closes it
        lock(file, wait=True)
        if same_file(file, temporary):
            return file
        file.close()  # somebody found it before it was locked


def remove_abandoned(folder: Path, start: str = ".") -> None:
    """Remove the temporary files of a folder whose names begin so and whose process is no more."""
    with contextlib.suppress(OSError):  # no such folder
        for name in os.listdir(folder):
            if name.startswith(start) and re.search(r"\.\d+\.tmp$", name):
                with contextlib.suppress(OSError), open(folder / name, "r+b") as file:
                    abandoned = lock(file)
                    if abandoned is None:  # nobody can tell; a day is longer than any file takes
                        abandoned = time.time() - os.fstat(file.fileno()).st_mtime > DAY
                    if abandoned:
                        if os.name == "nt":
                            file.close()
                        os.unlink(folder / name)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing; they outlast a power cut."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Force what names a folder holds to the disk, where the system can."""
    with contextlib.suppress(OSError):  # Windows cannot open a folder; some network disks cannot sync one
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def free_bytes(folder: Path) -> float:
    """Room on the disk of `folder`, or of the nearest folder above that exists; infinite where the system does not tell."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(next(f for f in (folder, *folder.absolute().parents) if f.exists())).free
    return math.inf
