"""Where a data set comes to lie: built beside its place and moved there when complete, so that nothing half-made is seen."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from train.errors import UserError, shown
from train.files.atomic import free_bytes

PLENTY = 16 << 20  # bytes; a disk that refuses with so many free lacks something else
PARTS = ("trainA", "trainB", "testA", "testB")
VAL = ("valA", "valB")  # of sets whose maker asks for them
WRITTEN = {*PARTS, *VAL, "README.txt", "source.json", "left_out.txt"}


def make(build: Callable[[Path], None], out: Path, force: bool) -> None:
    """Let `build` fill a fresh folder, then put it in the place of `out`. Without `force` an existing set is refused."""
    check_free(out, force)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        clear(out)
        with tempfile.TemporaryDirectory(prefix=f"{scratch_start(out)}{os.getpid()}-", dir=out.parent) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            build(fresh)
            if out.exists():
                out.rename(Path(scratch) / "old")
            fresh.rename(out)
    except OSError as error:
        raise UserError(refused(error, out.parent)) from error


def scratch_start(out: Path) -> str:
    """How the names of the folders begin in which this machine builds `out`; the process's number follows."""
    return f".{out.name}-{platform.node()}-"


def clear(out: Path) -> None:
    """Remove what killed processes left of their work on `out`, and put back a set that one of them had moved aside."""
    for left in [path for path in out.parent.iterdir() if path.name.startswith(scratch_start(out))]:
        number = left.name.removeprefix(scratch_start(out)).partition("-")[0]
        if not number.isdecimal() or lives(int(number)):
            continue
        if (left / "old").exists() and not out.exists():
            (left / "old").rename(out)
        shutil.rmtree(left, ignore_errors=True)


def lives(process: int) -> bool:
    """Whether a process of that number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def refused(error: OSError, where: Path) -> str:
    """What to say where the disk of `where` refuses, and what helps."""
    name = f"{shown(error.filename)}: " if error.filename else ""
    free = free_bytes(where)
    if error.errno == errno.ENOSPC and free > PLENTY:
        return f"{name}the disk takes no further file, though {free / 1e6:,.0f} MB are free (out of inodes); delete some files there"
    if error.errno == errno.ENOSPC:
        return f"{name}the disk is full; make room, or name an --out on another disk"
    return f"{name}{error.strerror or error}; check that you may write there, or name another --out"


def check_free(out: Path, force: bool) -> None:
    """UserError unless `out` is free, or with `force` a set made here."""
    if not out.exists():
        return
    if not force:
        raise UserError(
            f"{shown(out)} exists already; use it as it is, make it anew with --force, or name another --out"
        )
    if not out.is_dir() or {p.name for p in out.iterdir()} - WRITTEN:
        raise UserError(f"{shown(out)} holds other things than a data set made here; --force does not delete those")


def check_room(folder: Path, size: int) -> None:
    """UserError if the disk of `folder`, which need not exist, has less than `size` bytes free."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"this needs about {size / 1e6:,.0f} MB on the disk, where {free / 1e6:,.0f} are free; make room, or name an "
            "--out on another disk"
        )
