"""What a report needs of a run's records, in memory that does not grow with the run."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from train.report.doctor import Doctor, Finding, is_look

Series = NDArray[np.float64]
POINTS = 500  # stretches of a curve, at most
RECENT = 200  # steps that tell the speed
APART = ("step", "epoch")  # what a record says of its place


class Stretch(NamedTuple):
    """Values of consecutive records: the first and the last step, how many, their sum, the lowest and the highest."""

    first: float
    last: float
    n: int
    total: float
    low: float
    high: float

    def joined(self, after: Stretch) -> Stretch:
        """Both as one."""
        low, high = min(self.low, after.low), max(self.high, after.high)
        return Stretch(self.first, after.last, self.n + after.n, self.total + after.total, low, high)


class Curve:
    """A quantity over the steps, in at most POINTS stretches of equally many values; where there are more, pairs are joined.

    `missing` counts values that were no finite number, `first_missing` is the step of the first; `value` is the last.
    """

    def __init__(self, steps: Iterable[float] = (), values: Iterable[float | None] = ()) -> None:
        self.stretches: list[Stretch] = []
        self.size = 1  # values to a stretch; the last one may still be filling
        self.missing, self.first_missing, self.value = 0, 0.0, math.nan
        for step, value in zip(steps, values, strict=True):
            self.add(step, value)

    def add(self, step: float, value: float | None) -> None:
        """One more value; None or NaN where it was no finite number."""
        if value is None or not math.isfinite(value):
            self.first_missing = self.first_missing if self.missing else step
            self.missing += 1
            return
        self.value = value
        one = Stretch(step, step, 1, value, value, value)
        if self.stretches and self.stretches[-1].n < self.size:
            self.stretches[-1] = self.stretches[-1].joined(one)
            return
        if len(self.stretches) == POINTS:
            pairs = zip(self.stretches[::2], self.stretches[1::2], strict=True)
            self.stretches, self.size = [before.joined(after) for before, after in pairs], 2 * self.size
        self.stretches.append(one)

    @property
    def table(self) -> Series:
        """[6,n]: a row for each field of the stretches."""
        return np.array(self.stretches, np.float64).reshape(-1, 6).T

    @property
    def total(self) -> float:
        """The sum of all values."""
        return math.fsum(stretch.total for stretch in self.stretches)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see: no value, or zeros alone."""
        return not any(stretch.low or stretch.high for stretch in self.stretches)


class Summary:
    """What is to be shown of the records that it has heard: their curves, the speed, the last step, and the doctor's opinion."""

    def __init__(self, records: Iterable[Mapping[str, Any]] = (), settings: Mapping[str, Any] | None = None) -> None:
        self.step, self.epoch, self.looks = 0, 0, 0
        self.curves: dict[str, Curve] = {}
        self.recent: deque[float] = deque(maxlen=RECENT)  # s per step
        self.ranks: list[Any] = []  # of every look the ranks' mean [work, wait, comm], s a step; the newest RECENT
        self.doctor = Doctor((), settings)
        for record in records:
            self.add(record)

    def hear(self, record: Mapping[str, Any]) -> list[Finding]:
        """Take one more record; what the doctor finds new in it."""
        self._count(record)
        return self.doctor.hear(record)

    def add(self, record: Mapping[str, Any]) -> None:
        """The same of an earlier sitting: nothing of it is news."""
        self._count(record)
        self.doctor.add(record)

    def curve(self, key: str) -> Curve:
        """That of a quantity; one without values where there is none."""
        return self.curves.get(key) or Curve()

    def _count(self, record: Mapping[str, Any]) -> None:
        self.step, self.epoch = int(record["step"]), record.get("epoch", self.epoch)
        self.looks += is_look(record)
        for key, value in record.items():
            if key not in APART and not isinstance(value, str | list):
                if key not in self.curves:
                    self.curves[key] = Curve()
                self.curves[key].add(self.step, value)
        if record.get("ranks"):
            self.ranks = [*self.ranks[1 - RECENT :], record["ranks"]]
        if record.get("seconds") is not None:
            self.recent.append(record["seconds"])
