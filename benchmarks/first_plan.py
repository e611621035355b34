"""What a first run on a GPU is told, and where its phases leave what they find."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Row
from benchmarks.providers import Work

DRY = Work(24, 2, 1)  # what the interpreter can step through in a second
PRECISIONS = ("bf16", "tf32", "fp32")  # the first that is right is used


def precisions() -> tuple[str, ...]:
    """Those whose numbers arrays can hold here: NumPy and CuPy have bfloat16 from the package ml_dtypes."""
    return PRECISIONS if importlib.util.find_spec("ml_dtypes") else PRECISIONS[1:]


@dataclass(frozen=True)
class Plan:
    """How a first run is made; every process is given it."""

    out: str
    device: str = "cuda"
    precision: str = "bf16"
    size: str = "paper"
    jobs: int = 1

    @property
    def work(self) -> Work:
        from benchmarks.step import SIZES

        known = SIZES[self.size] if self.device == "cuda" else DRY
        return Work(known.size, known.ngf, known.n_blocks, device=self.device, precision=self.precision)


class Rows:
    """A file to which rows are appended, each on the disk before the next is made. `wrong`: whether one says so."""

    def __init__(self, path: Path) -> None:
        self.path, self.wrong = path, False

    def add(self, **row: Any) -> None:
        self.wrong |= bool(
            row.get("problem") or row.get("problems") or row.get("unequal") or not row.get("finite", True)
        )
        print(
            " ".join(f"{name}={value}" for name, value in row.items() if not isinstance(value, dict | list))[:300],
            flush=True,
        )
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_rows(path: Path) -> list[Row]:
    """What a phase has written; a line that was cut short is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def real_cases(plan: Plan) -> list[str]:
    """The cases that have a full size; when dry two small ones. Fused convolutions, whose programs wait for each other, come last."""
    from tests.cases import CASES

    cases = sorted((c for c in CASES if c.full), key=lambda c: c.op == "conv_norm_relu")
    return [str(c) for c in cases] if plan.device == "cuda" else ["tanh-minimal", "instance_norm-ragged"]


def unended(rows: list[Row]) -> list[Row]:
    """The ops that were begun and never came back."""
    ended = {(row["precision"], row["case"]) for row in rows if row["what"] == "op"}
    return [row for row in rows if row["what"] == "begun" and (row["precision"], row["case"]) not in ended]
