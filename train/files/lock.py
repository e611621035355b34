"""Locks on open files. The system lets go of them when their process ends, however it ends, so none outlives it."""

from __future__ import annotations

import errno
import os
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TAKEN = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


def lock(file: IO[Any], wait: bool = False) -> bool | None:
    """Take the lock of an open file: True if this opening of it holds it now, False if another one does.

    None where the system or the disk knows no locks. `wait`: until whoever holds it lets go.
    """
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        else:
            _lock_a_byte(file, wait)
    except OSError as error:
        return False if error.errno in TAKEN else None
    return True


def _lock_a_byte(file: IO[Any], wait: bool) -> None:
    """Windows locks bytes, which nobody else can then read: one far beyond the end."""
    import msvcrt

    place = file.tell()
    file.seek(1 << 40)
    try:
        mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined]
        msvcrt.locking(file.fileno(), mode, 1)  # type: ignore[attr-defined]
    finally:
        file.seek(place)


def same_file(file: IO[Any], path: str | os.PathLike[str]) -> bool:
    """Whether an open file is still the one that is found at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False
