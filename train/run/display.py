"""What a run shows of itself as it goes: metrics.jsonl, samples, report.html, a tracker. None of it may end the run.

Whatever refuses, a disk, a library or a stray file, is told once. Training goes on, and each thing is tried again when it is
due again; records that cannot be written wait in memory.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from kernels.device import peak_bytes
from train.config.settings import Config
from train.errors import UserError
from train.evaluation.metrics import Scores
from train.files.history import History
from train.models.model import Model, Pair
from train.report.doctor import Finding
from train.report.page import write_report
from train.report.samples import sample_grid, save_png
from train.report.summary import Summary
from train.run.tracking import Tracker, asked, tracker

T = TypeVar("T")
REPORT_EVERY = 20  # s at least between two reports of a run that goes on; and they may take 2 % of the time

log = logging.getLogger(__name__)


class Attempts:
    """Runs what may fail, and tells so once, until it works again."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.failing: set[str] = set()

    def __call__(self, what: str, do: Callable[[], T]) -> T | None:
        """do(), or None where it raises an exception."""
        try:
            result = do()
        except Exception as error:
            self.warn(what, f"{error if isinstance(error, OSError | UserError) else repr(error)}")
            log.debug("%s", what, exc_info=True)
            return None
        if what in self.failing:
            self.failing.remove(what)
            self.tell(f"{what}: works again")
        return result

    def warn(self, what: str, why: str) -> None:
        """Tell what does not work, if it was not told yet."""
        if what not in self.failing:
            self.failing.add(what)
            self.tell(f"warning: {what}: {why} (training goes on, and this is tried again)")


class Display:
    """What a run under these settings, in this folder, shows of its model; `shown` are the pictures of its samples.

    `tell` prints a line for the user.
    """

    def __init__(
        self, folder: Path, config: Config, model: Model, shown: Sequence[Pair], tell: Callable[[str], None]
    ) -> None:
        self.folder, self.config, self.model, self.shown = folder, config, model, shown
        self.attempt = Attempts(tell)
        self.history = History(folder / "metrics.jsonl")
        self.summary = Summary(settings=config.as_dict())
        self.tracked = {"tensorboard": "TensorBoard"}.get(asked(config), asked(config))
        self.tracker: Tracker | None = None
        self.sampled: int | None = None  # the step of the last sample grid
        self.tracked_step = 0  # the last that the tracker has
        self.tracker_due = self.report_due = 0.0  # when they are to be tried again, and when the report is due

    def stand_in(self, folder: Path, config: Config) -> None:
        """Show it in another folder from here on."""
        if self.tracker is not None:
            self.attempt(self.tracked, self.tracker.close)
        self.folder, self.config, self.tracker = folder, config, None
        self.history.path = folder / self.history.path.name

    def begin(self, step: int) -> None:
        """Take up what an earlier sitting showed, up to this step; what is beyond will be made again."""
        self.tracked_step = step
        self.attempt("metrics.jsonl", lambda: self.take_up_metrics(step))
        self.attempt("old samples", lambda: self.remove_samples(step))

    def take_up_metrics(self, step: int) -> None:
        """The records so far; a file that cannot be read as such is set aside, and what lacks is told."""
        try:
            missing = self.history.truncate(step)
        except UserError as error:
            aside = self.history.path.with_suffix(".damaged.jsonl")
            os.replace(self.history.path, aside)
            self.attempt.tell(f"warning: {error} It is {aside.name} now, and a new one begins")
            missing = self.history.truncate(step)
        if missing:
            steps = ", ".join(f"{first} to {last}" if last > first else str(first) for first, last in missing[:5])
            more = f" and {len(missing) - 5} more holes" if len(missing) > 5 else ""
            self.attempt.tell(
                f"warning: metrics.jsonl has no record of steps {steps}{more}: the curves have a hole there. Nothing else "
                "depends on them"
            )
        for record in self.history.records():
            self.summary.add(record)

    def note(self, record: Mapping[str, Any]) -> list[Finding]:
        """Put a step on record; what the doctor finds new in it."""
        self.history.append(dict(record))
        if self.history.due:
            self.attempt("metrics.jsonl", self.history.flush)
        if record["step"] % (self.config.watch_freq or self.config.print_freq) == 0:
            self.track(record["step"], lambda tracker: tracker.write(record))
        return self.attempt("doctor", lambda: self.summary.hear(record)) or []

    def sync(self) -> None:
        """Bring the records so far to the disk, so that they outlast a power cut."""
        self.attempt("metrics.jsonl", lambda: self.history.flush(sync=True))

    def track(self, step: int, write: Callable[[Tracker], None]) -> None:
        """Write to the tracker where --track asks for one."""
        if not self.tracked or time.perf_counter() < self.tracker_due:
            return

        def work() -> bool:
            if self.tracker is None:
                self.tracker = tracker(self.config, self.folder, self.tracked_step)
            write(self.tracker)
            self.tracked_step = step
            return True

        if not self.attempt(self.tracked, work):  # another one then, but not at every step
            self.tracker, self.tracker_due = None, time.perf_counter() + REPORT_EVERY

    def sample_path(self, step: int) -> Path:
        """Where the sample grid after so many steps is."""
        return self.folder / "samples" / f"step_{step:06}.png"

    def samples(self) -> list[tuple[int, Path]]:
        """The sample grids that are there: their steps and files, oldest first."""
        files = (self.folder / "samples").glob("step_*.png")
        found = [(re.fullmatch(r"step_(\d+)\.png", file.name, re.ASCII), file) for file in files]
        return sorted((int(match[1]), file) for match, file in found if match)

    def remove_samples(self, step: int) -> None:
        """Those beyond a step."""
        for made, file in self.samples():
            if made > step:
                file.unlink()

    def sample_due(self, step: int) -> bool:
        """Every --sample_freq steps, and after 10, 30, 100, 300, 1000 and so on: most happens at the beginning."""
        return step % self.config.sample_freq == 0 or (step >= 10 and str(step).rstrip("0") in ("1", "3"))

    def sample(self, step: int) -> None:
        """Make the sample grid after so many steps, unless that was done."""
        if step == self.sampled:
            return

        def work() -> None:
            grid = sample_grid(self.model.sample_rows(self.shown), f"{self.config.name}, step {step}")
            self.track(step, lambda tracker: tracker.picture(grid, step))
            save_png(self.sample_path(step), grid)
            self.sampled = step

        self.attempt("samples", work)

    def report(
        self,
        state: str,
        total: int,
        command: str,
        scores: Mapping[str, Scores] | None = None,
        findings: Iterable[Finding] = (),
    ) -> None:
        """Write report.html of a run that is "running", "finished" or "interrupted" and has `total` steps in all.

        `command` continues it ("": it is not saved yet); `findings` come on top of the doctor's.
        """
        start = time.perf_counter()
        self.attempt("metrics.jsonl", self.history.flush)
        self.attempt(
            "report.html",
            lambda: write_report(
                self.folder,
                self.summary,
                self.config.as_dict(),
                scores,
                samples=self.samples(),
                state=state,
                total=total,
                peak=peak_bytes(self.model.device),
                charts=self.model.charts(),
                legend=self.model.legend,
                command=command,
                options=self.config.options(),
                findings=[*findings],
                warn=self.attempt.warn,
            ),
        )
        now = time.perf_counter()
        self.report_due = now + max(REPORT_EVERY, 50 * (now - start))

    def close(self) -> None:
        """Hand all to the system."""
        self.attempt("metrics.jsonl", self.history.close)
        if self.tracker is not None:
            self.attempt(self.tracked, self.tracker.close)


def unheard(text: str) -> None:
    """Says nothing: rank 0 does."""


class Unseen(Display):
    """What a rank that is not the first shows: nothing. It writes no file."""

    def begin(self, step: int) -> None:
        pass

    def note(self, record: Mapping[str, Any]) -> list[Finding]:
        return []

    def sync(self) -> None:
        pass

    def track(self, step: int, write: Callable[[Tracker], None]) -> None:
        pass

    def sample(self, step: int) -> None:
        pass

    def report(self, *args: Any, **kwargs: Any) -> None:
        self.report_due = math.inf

    def close(self) -> None:
        pass
