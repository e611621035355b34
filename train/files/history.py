"""The history of a run: `metrics.jsonl`, one JSON object per step, which any tool can read while the run goes on."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from train.errors import UserError, shown
from train.files.atomic import make_folder, sync_folder
from train.files.json_file import finite
from train.files.lock import same_file

ENOUGH = 8192  # bytes of lines that are worth a write


class History:
    """Appends records to a file and reads them back.

    Records wait in memory until `flush` writes them (do so where some are `due`, and before a checkpoint is saved). Where
    the disk refuses, they go on waiting, and the next `flush` writes them all. A process killed in the middle leaves at
    most a torn last line, which is ignored when reading and cut off before anything is written. A number that is not
    finite becomes null: NaN is not JSON.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._waiting: list[bytes] = []
        self._size = 0  # bytes that wait
        self._tried = 0  # of these, at the last attempt
        self._file: io.FileIO | None = None
        self._end = 0  # of the last whole line in the file
        self._last: int | None = None  # the last step of the file that is to stay, if the file is not cut yet

    def append(self, record: dict[str, Any]) -> None:
        """Add one record: a "step", and numbers or strings under names. NumPy scalars are welcome."""
        line = json.dumps(finite(record), allow_nan=False).encode() + b"\n"
        self._waiting.append(line)
        self._size += len(line)

    @property
    def due(self) -> bool:
        """Whether so much waits, or has come since the last attempt, that writing it is worth while."""
        return self._size - self._tried >= ENOUGH

    def flush(self, sync: bool = False) -> None:
        """Hand all records to the operating system, after which they outlive the process; with `sync` to the disk, after
        which they outlive a power cut. OSError where it refuses, UserError where a line of the file is not JSON."""
        self._tried = self._size
        if self._file is not None and not same_file(self._file, self.path):
            self._let_go()  # somebody moved or removed it: begin another one
        if not self._waiting and (self._file is None or not sync):
            return
        file = self._opened()
        data = b"".join(self._waiting)
        file.seek(self._end)
        file.truncate()  # what was left of an attempt that failed
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        self._end += len(data)
        self._waiting, self._size, self._tried = [], 0, 0
        if sync:
            os.fsync(file.fileno())

    def close(self) -> None:
        """Flush, and let go of the file; a later `flush` opens it again."""
        self.flush()
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                file.close()

    def truncate(self, after_step: int) -> list[tuple[int, int]]:
        """Drop the records beyond `after_step`, and a torn last line: a resumed run writes those steps again.

        Returns which steps up to there are missing, as (first, last). Raises as `flush` does; what is to be dropped is then
        dropped before anything is written.
        """
        self._let_go()
        self._waiting = [line for line in self._waiting if json.loads(line)["step"] <= after_step]
        self._size, self._tried, self._last = sum(map(len, self._waiting)), 0, after_step
        missing, before = [], 0
        if self.path.exists():
            self._opened()
        for record in self.records():
            if record["step"] > before + 1:
                missing.append((before + 1, record["step"] - 1))
            before = max(before, record["step"])
        return [*missing, (before + 1, after_step)] if before < after_step else missing

    def records(self) -> Iterator[dict[str, Any]]:
        """All whole records, oldest first; none if there is no file. Raises UserError for a line that is not JSON."""
        if self.path.exists():
            with open(self.path, "rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.endswith(b"\n") or (self._file is not None and file.tell() > self._end):
                        break
                    yield self._parse(line, number)
        for line in [*self._waiting]:
            yield json.loads(line)

    def read(self) -> list[dict[str, Any]]:
        """The same as a list."""
        return list(self.records())

    def _opened(self) -> io.FileIO:
        """The file, its wanted lines alone in it."""
        if self._file is None:
            make_folder(self.path.parent)
            new = not self.path.exists()
            file = open(self.path, "xb" if new else "r+b", buffering=0)  # noqa: SIM115  open as long as the run
            try:
                self._end = self._wanted(self._last)
                file.truncate(self._end)
            except BaseException:
                file.close()
                raise
            self._file, self._last = file, None
            if new:
                sync_folder(self.path.parent)
        return self._file

    def _wanted(self, last: int | None) -> int:
        """Where, in bytes, the wanted lines end: before a torn one, and after step `last` (None: all); steps only grow."""
        end, step = 0, 0
        with open(self.path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break
                if last is not None:
                    try:
                        step = self._parse(line, number)["step"]
                    except UserError:
                        if step < last:
                            raise
                        break  # what a power cut left behind the wanted ones
                    if step > last:
                        break
                end += len(line)
        return end

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise UserError(
                f'{shown(self.path)}, line {number}: {line[:40]!r} is not a record such as {{"step": 1, …}}. '
                "Delete this line, or move the file away: training does not need it."
            )
        return record
