"""Where a data set comes to lie: built beside its place and moved there when complete, so that nothing half-made is seen."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from train.errors import UserError

PARTS = ("trainA", "trainB", "testA", "testB")
WRITTEN = {*PARTS, "README.txt", "source.json", "left_out.txt"}


def make(build: Callable[[Path], None], out: Path, force: bool) -> None:
    """Let `build` fill a fresh folder, then put it in the place of `out`. Without `force` an existing set is refused."""
    check_free(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        fresh = Path(scratch) / "fresh"
        fresh.mkdir()
        build(fresh)
        if out.exists():
            out.rename(Path(scratch) / "old")
        fresh.rename(out)


def check_free(out: Path, force: bool) -> None:
    """UserError unless `out` is free, or with `force` a set made here."""
    if not out.exists():
        return
    if not force:
        raise UserError(f"{out} exists already; use it as it is, make it anew with --force, or name another --out")
    if not out.is_dir() or {p.name for p in out.iterdir()} - WRITTEN:
        raise UserError(f"{out} holds other things than a data set made here; --force does not delete those")


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
