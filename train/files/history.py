"""The history of a run: `metrics.jsonl`, one JSON object per step, which any tool can read while the run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from train.errors import UserError
from train.files.json_file import finite


class History:
    """Appends records to a file and reads them back.

    Lines are buffered; `flush` hands them to the system, after which they outlive the process (flush before saving a
    checkpoint). A process killed in the middle leaves at most a torn last line, which is ignored when reading and cut
    off before anything is appended. A number that is not finite becomes null: NaN is not JSON.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: TextIO | None = None

    def append(self, record: dict[str, Any]) -> None:
        """Add one record: a "step", and numbers or strings under names. NumPy scalars are welcome."""
        line = json.dumps(finite(record), allow_nan=False)
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                self._cut(after_step=None)
            self._file = open(self.path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115  (open as long as the run)
        self._file.write(line + "\n")

    def flush(self) -> None:
        """Hand all lines to the operating system."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Flush and let go of the file; a later `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def truncate(self, after_step: int) -> None:
        """Drop the records beyond `after_step`, and a torn last line: a resumed run writes those steps again."""
        self.close()
        if self.path.exists():
            self._cut(after_step)

    def read(self) -> list[dict[str, Any]]:
        """All whole records, oldest first; none if there is no file. Raises `UserError` for a line that is not JSON."""
        self.flush()
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            return [self._parse(line, number) for number, line in enumerate(file, 1) if line.endswith(b"\n")]

    def _cut(self, after_step: int | None) -> None:
        """Cut the file in place where the first unwanted line begins; steps only grow, so all after it goes too."""
        keep = 0  # bytes
        with open(self.path, "r+b") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                if after_step is not None and self._parse(line, number)["step"] > after_step:
                    break
                keep += len(line)
            file.truncate(keep)

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise UserError(
                f'{self.path}, line {number}: {line[:40]!r} is not a record such as {{"step": 1, …}}. '
                "Delete this line, or move the file away: training does not need it."
            )
        return record
