"""A folder that one process at a time writes a run into. Others are told whose it is.

While it is taken, `lock.json` in it says by which process, on which host, since when. What counts is the lock on that file,
which the system lets go of when the process ends, however it ends. Some network disks know no locks; there what the file says
decides: a process of this host that is no more has left the folder, one of another host may still run. (Where a disk keeps
locks on each machine for itself, as Lustre does with localflock, two machines do not see each other.)

Only what trains takes a folder. Reading it is always fine, and so is what train.evaluate and train.probe put beside a run's own
files: each is written atomically, and the run needs none of them.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from train.errors import UserError, shown
from train.files.atomic import make_folder, remove_abandoned, sync_folder
from train.files.lock import lock, same_file

LOCK = "lock.json"
MOMENT = 0.1  # s; where there are no locks, two that take one folder at once see each other in this time


class Taken(UserError):
    """Another process has the folder."""


class Claim:
    """What this process has taken: one folder, or none yet. A context at whose end it is left."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._made: list[Path] = []
        self._file: IO[bytes] | None = None
        self._opened: int | None = None  # the folder, by which it is known wherever it goes

    def take(self, folder: Path, new: bool = False, mend: str = "choose another --name") -> Path:
        """Take a folder, made where it is missing, and return it; `new`: it must be missing, else FileExistsError.

        `mend` says what helps whom it is refused. Raises Taken where another process has it, OSError where the disk refuses.
        """
        self.close()
        self._made = [f for f in (folder, *folder.parents) if not f.exists()]
        make_folder(folder.parent)
        folder.mkdir(exist_ok=not new)
        sync_folder(folder.parent)
        self.folder = folder
        try:
            self._lock(folder / LOCK, mend)
        except BaseException:
            self.close()
            raise
        with contextlib.suppress(OSError):  # Windows opens no folders, and moves none in which files are open
            self._opened = os.open(folder, os.O_RDONLY)
        for place in (folder, folder / "samples"):
            remove_abandoned(place)
        return folder

    def take_free(self, parent: Path, stem: str) -> Path:
        """Take a new folder, of the first of these names that nobody has: of several processes each gets its own."""
        made = [f for f in (parent, *parent.parents) if not f.exists()]
        make_folder(parent)  # outside of the loop, for a file in its place is FileExistsError too
        for name in names(stem):
            with contextlib.suppress(FileExistsError, Taken):
                self.take(parent / name, new=True)
                break
        self._made += made
        return parent / name

    def _lock(self, path: Path, mend: str) -> None:
        while self._file is None:
            file = open(path, "a+b")  # noqa: SIM115  open as long as the folder is taken
            try:
                if self._is_free(file, path, mend):
                    self._file = file
            finally:
                if self._file is None:
                    file.close()

    def _is_free(self, file: IO[bytes], path: Path, mend: str) -> bool:
        """Whether the file is locked now, and still that of this path. Taken where another process has it."""
        known = lock(file)
        if known is False:
            raise _refusal(path, _holder(path), "", mend)
        if not same_file(file, path):
            return False  # whoever had it removed it in this moment
        if known is None and (why := _alive(holder := _holder(path), path)):
            raise _refusal(path, holder, why, mend)
        ours = {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with contextlib.suppress(OSError):  # a full disk: what follows says so
            file.truncate(0)
            file.write(json.dumps(ours).encode())
            file.flush()
        if known is None:
            time.sleep(MOMENT)
            if (holder := _holder(path)) not in (ours, {}):
                raise _refusal(path, holder, "", mend)
        return True

    def place(self) -> Path | None:
        """Where the folder that was taken is now; None if it was deleted, or if the system does not tell."""
        assert self.folder is not None
        if self._opened is None or self._is_at(self.folder):
            return self.folder
        with contextlib.suppress(OSError, ImportError, AttributeError, ValueError):
            if sys.platform == "darwin":
                import fcntl

                found = Path(os.fsdecode(fcntl.fcntl(self._opened, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
            else:
                found = Path(os.readlink(f"/proc/self/fd/{self._opened}"))
            return found if self._is_at(found) else None
        return None

    def follow(self, place: Path) -> None:
        """The folder is there now."""
        self.folder, self._made = place, []

    def _is_at(self, place: Path) -> bool:
        assert self._opened is not None
        try:
            return os.path.samestat(os.fstat(self._opened), os.stat(place))
        except OSError:
            return False

    def close(self) -> None:
        """Leave the folder; what was made for it and is empty goes."""
        if self._opened is not None:
            if self.folder is None or not self._is_at(self.folder):
                self._made = []  # what is there now is another's
            os.close(self._opened)
        if self._file is not None and self.folder is not None:
            path = self.folder / LOCK
            ours = same_file(self._file, path)
            if os.name == "nt":
                self._file.close()  # Windows removes no open file
            if ours:
                with contextlib.suppress(OSError):
                    path.unlink()
            self._file.close()
        for made in self._made:
            try:
                made.rmdir()
            except OSError:
                break
        self.folder, self._made, self._file, self._opened = None, [], None, None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def names(stem: str) -> Iterator[str]:
    """stem, stem-2, stem-3 and so on."""
    yield stem
    yield from (f"{stem}-{number}" for number in itertools.count(2))


def _holder(path: Path) -> dict[str, Any]:
    """What a lock file says; empty where it says nothing."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_bytes()[:4096])
        if isinstance(found, dict):
            return found
    return {}


def _refusal(path: Path, holder: dict[str, Any], why: str, mend: str) -> Taken:
    process, host, since = (shown(holder.get(name, "?"), 100) for name in ("process", "host", "since"))
    return Taken(
        f"{shown(path.parent)} is in use by process {process} on {host}, since {since}{why}; wait until it ends, stop it, or {mend}"
    )


def _alive(holder: dict[str, Any], path: Path) -> str:
    """Why a process must be thought alive, as the end of what is told; "" if it is no more, or if it is this one."""
    delete = f"delete {shown(path)} if it is no more"
    if not holder:
        return ""
    if holder.get("host") != socket.gethostname() or os.name == "nt":
        return f" (this disk knows no locks, and from here nobody can tell whether it still runs: {delete})"
    process = holder.get("process")
    if not isinstance(process, int) or process <= 0 or process == os.getpid():
        return ""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        pass  # another user's
    return f" (this disk knows no locks, but a process of this number runs: {delete})"
