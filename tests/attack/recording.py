"""Every change that a program makes below a folder, written down as it is made; and a disk that refuses some of them.

Python's own doors are watched: `open`, and what `os` has for names, folders and syncing. That nothing went past them is seen
by making the changes once more on an empty disk (tests/attack/disk.py) and comparing.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock


class Change(NamedTuple):
    """create, write, truncate or fsync of a file; rename, unlink; mkdir, rmdir or sync of a folder; mark: not of the disk."""

    kind: str
    path: str  # below the folder that is recorded
    file: int = 0  # the file's number, which it keeps when it is renamed
    to: str = ""  # rename
    at: int = 0  # write: where; truncate: how long; mark: which
    data: bytes = b""

    def __str__(self) -> str:
        what = {"write": f" {len(self.data):,} bytes at {self.at:,}", "truncate": f" to {self.at:,} bytes"}
        return f"{self.kind} {self.path}{what.get(self.kind, '')}{f' to {self.to}' if self.to else ''}"


Refuse = Callable[[int, Change], OSError | None]
"""Of the number of a change and the change itself: what the disk says to it, None where it obeys."""


def obeys(number: int, change: Change) -> None:
    """A sound disk."""


class Recording:
    """The changes so far, in order."""

    def __init__(self, root: Path, refuse: Refuse = obeys) -> None:
        self.root, self.refuse = os.path.realpath(root), refuse
        self.changes: list[Change] = []
        self.tried = 0  # changes, the refused ones among them
        found = sorted((str(path.relative_to(root)), path) for path in Path(root).rglob("*"))
        self.files = {path.stat().st_ino: -i for i, (_, path) in enumerate(found, 1)}  # inode -> number of the file
        self.opened = {
            -i: name for i, (name, _) in enumerate(found, 1)
        }  # number of a file -> path at which it was opened
        self.folders = {
            path.stat().st_ino: name for name, path in [("", Path(root)), *found] if path.is_dir()
        }  # -> path

    def below(self, path: Any) -> str | None:
        """The path below the folder, None if it is elsewhere."""
        if isinstance(path, int):
            return None
        relative = os.path.relpath(os.path.abspath(os.fspath(path)), self.root)
        return None if relative.startswith("..") else relative

    def ask(self, change: Change) -> None:
        """OSError where the disk refuses."""
        self.tried += 1
        if error := self.refuse(self.tried - 1, change):
            raise error

    def make(self, change: Change, do: Callable[[], Any]) -> Any:
        """Do it, unless the disk refuses, and note it."""
        self.ask(change)
        done = do()
        self.changes.append(change)
        return done

    def mark(self, number: int) -> None:
        """Note where the program is; no change."""
        self.changes.append(Change("mark", "", at=number))
        self.tried += 1

    # -- the doors

    def open(self, real: Any, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **kwargs: Any) -> Any:
        path = self.below(file)
        if path is None or not set(mode) & set("wxa+"):
            return real(file, mode, buffering, *args, **kwargs)
        plain = mode.replace("b", "").replace("t", "")
        if not os.path.exists(file):
            raw = self.make(
                Change("create", path, len(self.changes) + 1), lambda: RecordedFile(file, plain)
            )  # its number is new
            self.files[os.fstat(raw.fileno()).st_ino] = len(self.changes)
        elif "w" in mode:
            raw = self.make(
                Change("truncate", path, self.files[os.stat(file).st_ino]), lambda: RecordedFile(file, plain)
            )
        else:
            raw = RecordedFile(file, plain)
        raw.recording, raw.path, raw.number = self, path, self.files[os.fstat(raw.fileno()).st_ino]
        self.opened[raw.number] = path
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **kwargs)

    def fsync(self, real: Any, fd: int) -> None:
        """Only noted: what is lost with the power is worked out, not waited for."""
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode) and status.st_ino in self.folders:
            self.make(Change("sync", self.folders[status.st_ino]), lambda: None)
        elif status.st_ino in self.files:
            number = self.files[status.st_ino]
            self.make(Change("fsync", self.opened[number], number), lambda: None)

    def name(self, kind: str, real: Any, path: Any, *more: Any, **kwargs: Any) -> Any:
        """What changes a name: rename, unlink, mkdir, rmdir."""
        relative = self.below(path)
        if relative is None or kwargs.get("dir_fd") is not None:
            return real(path, *more, **kwargs)
        to = (self.below(more[0]) or "") if kind == "rename" else ""
        self.make(Change(kind, relative, to=to), lambda: real(path, *more, **kwargs))
        if kind == "mkdir":
            self.folders[os.stat(path).st_ino] = relative


class RecordedFile(io.FileIO):
    """An open file whose changes are noted."""

    recording: Recording
    path: str
    number: int

    def write(self, data: Any, /) -> int:
        data = bytes(data)
        at = os.fstat(self.fileno()).st_size if "a" in self.mode else self.tell()
        change = Change("write", self.path, self.number, at=at, data=data)
        try:
            return self.recording.make(change, lambda: super(RecordedFile, self).write(data))
        except OSError:
            super().write(data[: len(data) // 2])  # a disk that is full, or fails, may have taken some of it
            raise

    def truncate(self, size: int | None = None, /) -> int:
        size = self.tell() if size is None else size
        change = Change("truncate", self.path, self.number, at=size)
        return self.recording.make(change, lambda: super(RecordedFile, self).truncate(size))


NAMES = {
    "replace": "rename",
    "rename": "rename",
    "unlink": "unlink",
    "remove": "unlink",
    "mkdir": "mkdir",
    "rmdir": "rmdir",
}


@contextlib.contextmanager
def recorded(root: Path, refuse: Refuse = obeys) -> Iterator[Recording]:
    """Within this context the changes below `root` are recorded."""
    recording = Recording(root, refuse)

    def through(door: Callable[..., Any], *before: Any) -> Callable[..., Any]:
        return lambda *args, **kwargs: door(*before, *args, **kwargs)

    with contextlib.ExitStack() as stack:
        for owner in (builtins, io):
            stack.enter_context(mock.patch.object(owner, "open", through(recording.open, owner.open)))  # type: ignore[attr-defined]
        stack.enter_context(mock.patch("os.fsync", through(recording.fsync, os.fsync)))
        for name, kind in NAMES.items():
            stack.enter_context(mock.patch(f"os.{name}", through(recording.name, kind, getattr(os, name))))
        yield recording
