"""What a disk holds after the first of many changes: where the process is killed then, and where the power is cut.

What a process wrote outlives it. Of power cuts only this is sure: a file holds what it held when it was last synced, and a
folder the names that it had when *it* was last synced. All else may have reached the disk or not, in any order: names before
contents, the new length of a file before what is to stand there, the end of it before its beginning.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from tests.attack.recording import Change

Folder = dict[str, bytes | None]
"""Paths and contents; None: a folder."""
FOLDER = 0  # in place of a file's number
TEMPORARY = ".tmp"  # files that nobody reads: what they hold makes no other state
UNSURE = (TEMPORARY, "lock.json")  # files in which anything may stand
CONTENTS = ("lost", "kept", "zeros", "first half", "second half")  # of what was not synced
FEW = 3  # changes of names, of which all combinations are tried


class Disk:
    """Files and names as the program sees them, and what of both is sure to last."""

    def __init__(self, folder: Folder | None = None) -> None:
        """`folder`: what it holds for sure."""
        held = {
            -i: item for i, item in enumerate(sorted((folder or {}).items()), 1)
        }  # as tests/attack/recording.py counts
        self.names = {path: FOLDER if content is None else i for i, (path, content) in held.items()}
        self.content = {i: content for i, (_, content) in held.items() if content is not None}
        self.lasting, self.synced = dict(self.names), dict(self.content)
        self.loose: list[dict[str, int | None]] = []  # changes of names since their folder was synced
        self.touched: dict[int, int] = {}  # the first byte of a file that was changed since it was synced

    def apply(self, change: Change) -> None:
        """The disk after one more change."""
        match change.kind:
            case "create":
                self.content[change.file], self.synced[change.file] = b"", b""
                self._name({change.path: change.file})
            case "write":
                now, end = self.content[change.file], change.at + len(change.data)
                self._put(change, now[: change.at].ljust(change.at, b"\0") + change.data + now[end:])
            case "truncate":
                self._put(change, self.content[change.file][: change.at].ljust(change.at, b"\0"))
            case "fsync":
                self.synced[change.file] = self.content[change.file]
                self.touched.pop(change.file, None)
            case "rename":
                self._name({change.path: None, change.to: self.names[change.path]})
            case "unlink" | "rmdir":
                self._name({change.path: None})
            case "mkdir":
                self._name({change.path: FOLDER})
            case "sync":
                for names in [names for names in self.loose if _parent(next(iter(names))) == change.path]:
                    self.loose.remove(names)
                    _rename(self.lasting, names)

    def _put(self, change: Change, content: bytes) -> None:
        self.content[change.file] = content
        self.touched[change.file] = min(self.touched.get(change.file, change.at), change.at)

    def _name(self, names: dict[str, int | None]) -> None:
        _rename(self.names, names)
        self.loose.append(names)

    def now(self) -> Folder:
        """What the program sees, and finds again when it was killed."""
        return self._folder(self.names, "kept")

    def halfway(self, change: Change) -> Folder:
        """The same where it is killed in the middle of writing."""
        half = Disk()
        half.names, half.content = self.names, dict(self.content)
        half.apply(change._replace(data=change.data[: len(change.data) // 2]))
        return half.now()

    def after_power_cut(self) -> Iterator[tuple[str, Folder]]:
        """What may be found, each with words for it."""
        count = len(self.loose)
        chosen = (
            itertools.chain.from_iterable(itertools.combinations(range(count), n) for n in range(count + 1))
            if count <= FEW
            else [*(range(n) for n in range(count + 1)), *(range(n, count) for n in range(1, count))]
        )
        for kept in chosen:
            names = dict(self.lasting)
            for i in kept:
                _rename(names, self.loose[i])
            loose = any(n in self.touched and not path.endswith(UNSURE) for path, n in names.items())
            for how in CONTENTS if loose else ("kept",):
                yield f"names {len(kept)} of {count}, contents {how}", self._folder(names, how)

    def _folder(self, names: Mapping[str, int], how: str) -> Folder:
        found: Folder = {}
        for path in sorted(names):  # a folder before what is in it
            if _parent(path) in ("", *found):
                found[path] = None if names[path] == FOLDER else self._content(names[path], how)
        return found

    def _content(self, file: int, how: str) -> bytes:
        now, start = self.content[file], self.touched.get(file)
        if start is None or how == "kept":
            return now
        middle = (start + len(now)) // 2
        match how:
            case "lost":
                return self.synced[file]
            case "zeros":
                return now[:start] + bytes(len(now) - start)
            case "first half":
                return now[:middle]
            case _:
                return now[:start] + bytes(middle - start) + now[middle:]


def _parent(path: str) -> str:
    return "" if "/" not in path else str(PurePosixPath(path).parent)


def _rename(names: dict[str, int], changes: Mapping[str, int | None]) -> None:
    for path, file in changes.items():
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def found_in(root: Path) -> Folder:
    """What is below a folder of this machine."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }


def lay_out(folder: Folder, root: Path) -> None:
    """Put it there."""
    for path, content in folder.items():
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)


def key(folder: Folder) -> frozenset[tuple[str, bytes | None]]:
    """Equal for states that make no difference: what temporary files hold is nobody's business."""
    return frozenset((path, b"" if path.endswith(TEMPORARY) else content) for path, content in folder.items())
