"""Archives from strangers: only what is wanted is written, only where it belongs, and only so much of it."""

from __future__ import annotations

import contextlib
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from train.data.listing import sorted_out
from train.errors import UserError, shown
from train.prepare.place import PARTS, check_room

MOST_BYTES = 32 << 30  # of a whole archive, unpacked
MOST_RATIO = 100  # of a member's size, unpacked to packed; pictures reach 2, bombs 1000
MOST_MEMBERS = 200_000
MANY = 16 << 20  # bytes; all members together up to this size may have any ratio
MOST_HEAD = 1 << 20  # bytes of a tar's further header, such as a long name
SMALL = 1 << 20  # bytes; a member up to this size may have any ratio


def image_place(name: str) -> PurePosixPath | None:
    """Where an archive's member belongs in a data set, such as trainA/1.jpg; None for what is no image of a domain."""
    parts = PurePosixPath(name).parts
    if not sorted_out([PurePosixPath(name)]).pictures:
        return None
    for i, part in enumerate(parts[:-1]):
        if part in PARTS:
            return PurePosixPath(*parts[i:])
    return None


def unzip(archive: Path, folder: Path, place: Callable[[str], PurePosixPath | None] = image_place) -> int:
    """Write the members that have a `place` below `folder`; returns how many.

    UserError, before anything is written, for names that lead elsewhere, links, encryption, names used twice, and sizes
    that speak of a bomb; while writing, for a member that is damaged (CRC) or longer than it says.
    """
    kind = "a zip archive"
    with contextlib.ExitStack() as stack:
        with _guard(archive, kind):
            file = stack.enter_context(zipfile.ZipFile(archive))
            jobs = {}
            for info in _safe(archive, file.infolist()):
                target = place(info.filename)
                if target is None:
                    continue
                if target in jobs:
                    raise UserError(f"{shown(archive)}: holds {shown(target)} twice")
                jobs[target] = info
        check_room(folder, sum(info.file_size for info in jobs.values()))
        for target, info in tqdm(jobs.items(), desc="unpacking", unit="file"):
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb") as out:
                chunks = _chunks(file, info)
                while True:
                    with _guard(archive, kind):
                        chunk = next(chunks, b"")
                    if not chunk:
                        break
                    out.write(chunk)  # whose errors are the disk's
    return len(jobs)


def _chunks(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member's content, no longer than it says."""
    left = info.file_size
    with file.open(info) as source:
        while chunk := source.read(1 << 20):  # the end of which checks the CRC
            left -= len(chunk)
            if left < 0:
                raise ValueError(f"{info.filename} is longer than it says")
            yield chunk


@contextlib.contextmanager
def _guard(archive: Path, kind: str) -> Iterator[None]:
    """Makes one line of what reading a damaged archive raises, which is of a dozen types."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(
            f"{shown(archive)}: damaged, or not {kind} ({shown(error, 300)}); delete it and fetch it again"
        ) from error


def _safe(archive: Path, members: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The files among the members, all of which are checked, wanted or not: one bad name makes the whole suspect."""
    if len(members) > MOST_MEMBERS:
        raise UserError(f"{shown(archive)}: holds {len(members):,} members; at most {MOST_MEMBERS:,} are unpacked")
    total = packed = 0
    for info in members:
        _check_name(archive, info.filename)
        mode = info.external_attr >> 16
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UserError(
                f"{shown(archive)}: {shown(info.filename)} is a link or a device; such archives are not unpacked"
            )
        if info.flag_bits & 1:
            raise UserError(f"{shown(archive)}: {shown(info.filename)} is encrypted")
        total += info.file_size
        packed += info.compress_size
        absurd = info.file_size > max(SMALL, MOST_RATIO * info.compress_size) or total > max(MANY, MOST_RATIO * packed)
        if absurd or total > MOST_BYTES:
            raise UserError(
                f"{shown(archive)}: {shown(info.filename)} would unpack from {info.compress_size:,} to {info.file_size:,} bytes, all so "
                f"far to {total:,}: this looks like a bomb and is not unpacked"
            )
    return [info for info in members if not info.is_dir()]


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name or not path.parts:
        raise UserError(f"{shown(archive)}: the name {name!r} leads out of the folder; such archives are not unpacked")


class Member(tarfile.TarInfo):
    """A member whose further headers, which are read into memory whole, have a size that headers have."""

    def _proc_member(self, file: Any) -> Any:
        """Where tarfile goes on from a header that it has decoded; its source names this method as the one to override."""
        plain = (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE)
        if self.type == tarfile.GNUTYPE_SPARSE or (self.type not in plain and self.size > MOST_HEAD):
            raise UserError(
                f"a tar with a header of {self.size:,} bytes, or with holes; such archives are not unpacked"
            )
        return super()._proc_member(file)  # type: ignore[misc]


def read_tar(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the wanted regular files of a .tar.gz, in its order; nothing is written.

    UserError for a damaged archive and for one that unpacks to more than MOST_BYTES, wanted or not.
    """
    with _guard(archive, "a .tar.gz archive"), tarfile.open(archive, "r|gz", tarinfo=Member) as file:
        total, most = 0, min(MOST_BYTES, max(SMALL, MOST_RATIO * archive.stat().st_size))
        for count, member in enumerate(file):
            total += member.size
            if count > MOST_MEMBERS:
                raise UserError(
                    f"{shown(archive)}: holds more than {MOST_MEMBERS:,} members, the most that are unpacked"
                )
            if total > most:
                raise UserError(f"{shown(archive)}: unpacks to more than {total:,} bytes: this looks like a bomb")
            if member.isreg() and wanted(member.name):
                content = file.extractfile(member)
                assert content is not None
                yield member.name, content.read()
