"""The run around the step: batches in, steps, epochs, saves; stopped and continued without a trace."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from train.data.loader import Batch
from train.errors import NonFiniteLoss, UserError
from train.evaluation.evaluation import overall
from train.evaluation.metrics import COLUMNS, show
from train.files.atomic import make_folder
from train.files.json_file import write_json
from train.report.doctor import Finding, is_look
from train.run.diagnose import nonfinite_origin
from train.run.disk import check_room, drop_oldest, room_told
from train.run.folder import keep_up
from train.run.pace import check_weights
from train.run.progress import Progress
from train.run.run_state import NotFinite, RunState
from train.run.same_everywhere import check_same
from train.run.signals import StopRequest, stop_request


class Run(RunState):
    """A run that trains: the loop, what each step and each epoch leaves, and what an exception costs."""

    def train(self) -> None:
        """Train to the end, or until Ctrl-C or another signal asks to stop; what was done is saved either way.

        Whatever else ends the loop is raised again once that is saved too, with a note on how to go on. Only a step that has
        begun to change the state is lost, and those since the last save with it.
        """
        check_same(self)
        if self.group.leads:
            check_room(self.folder, self.state_bytes)
            if told := room_told(self.folder, self.state_bytes, self.checkpoints):
                self.tell(f"warning: {told}")
            self.display.begin(self.step)
            make_folder(self.folder)
            write_json(self.folder / "config.json", self.config.as_dict())
        if self.step == 0:
            self.display.sample(0)
        freq, leads = self.config.print_freq, self.group.leads
        with Progress(self.total, self.step, leads, freq) as progress, stop_request(leads) as stop:
            self.tell = self.display.attempt.tell = progress.line
            try:
                self.loop(progress, stop)
                self.state = "finished" if self.step >= self.total else "interrupted"
                check_weights(self.group, self.model, self.step)
                self.save()
                self.display.sample(self.step)
                self.report()
            except Exception as error:
                self.rescue(error)
                raise
        self.signal = self.asked(stop)

    def asked(self, stop: StopRequest) -> int:
        """The signal that asked to stop; of several ranks one that all know of, so that they stop after the same step."""
        return stop.asked if self.group.size == 1 else self.pace.signal

    def loop(self, progress: Progress, stop: StopRequest) -> None:
        """Steps, epoch by epoch."""
        if self.step >= self.total and self.position >= self.loader.batches_per_epoch:
            self.end_epoch()  # the last one, which could not be ended when it was over
        while self.step < self.total and not self.asked(stop):
            self.model.set_lr(self.schedule.lr)
            for batch in self.loader.iterate(self.epoch, self.position):
                losses = self.train_on(batch)
                self.pace.meet(stop.asked, self.parts, batch)
                self.group.watch(self.config.rank_timeout)  # now that all is loaded and compiled
                keep_up(self)
                progress.update(losses, self.schedule.lr)
                if self.display.sample_due(self.step):
                    self.display.sample(self.step)
                for finding in self.note(losses, batch):
                    self.tell(f"doctor, step {self.step}: {finding}")
                if self.step >= self.total or self.asked(stop):
                    break
                if self.step % self.config.save_latest_freq == 0:
                    check_weights(self.group, self.model, self.step)
                    self.save()
                if time.perf_counter() > self.display.report_due:
                    self.report()
            if self.position >= self.loader.batches_per_epoch:  # beyond, where there were more images once
                self.end_epoch()

    def write(self, name: str) -> None:
        """Write the state to a file of the run's folder, wherever that is."""
        keep_up(self)
        try:
            super().write(name)
        except UserError:
            if not keep_up(self):  # it went while the file was written
                raise
            super().write(name)

    def rescue(self, error: Exception) -> None:
        """Save what an exception leaves, if that is a whole state, and note on it what is saved and how to go on."""
        self.state = "interrupted"
        if isinstance(error, NotFinite):
            return  # which says all there is to say
        why = ""
        if not self.whole:
            why = f"Step {self.step + 1} had changed a part of the state, so nothing of it is saved. "
        elif self.saved != self.step > 0:
            try:
                self.save()
            except Exception as second:  # noqa: BLE001  the first one matters more
                why = f"Step {self.step} could not be saved: {second}\n"
        self.report()
        if self.saved:
            error.add_note(
                f"{why}Step {self.saved} is saved. When that is mended, go on with:\n  {self.command_to_go_on()}"
            )

    def train_on(self, batch: Batch) -> dict[str, float]:
        """One step, timed."""
        start, wait = time.perf_counter(), self.loader.waited - self.waited
        self.waited += wait
        before, talked = self.model.touched(), self.group.seconds
        try:
            with np.errstate(all="ignore"):  # the step looks at its losses itself; warnings would bury its message
                if self.parallel is not None:
                    losses = self.parallel.step(batch.samples, batch.a, batch.b, *batch.pairs)
                else:
                    losses = self.model.step(batch.a, batch.b, *batch.pairs)
        except NonFiniteLoss as error:
            raise self.lost(error, batch) from error
        except BaseException:
            self.whole = self.model.touched() == before
            raise
        seconds = time.perf_counter() - start + wait
        self.step += 1
        self.position += 1
        self.seconds += seconds
        self.cycle_sum += sum(losses[name] for name in self.model.metric)
        self.times = {"seconds": round(seconds, 6), "wait": round(wait, 6)}
        comm = self.group.seconds - talked
        self.parts = seconds - wait - comm, wait, comm
        return losses

    def lost(self, error: NonFiniteLoss, batch: Batch) -> NotFinite:
        """What to tell when a loss is no longer a number."""
        seen, rank = "", getattr(error, "rank", self.group.rank)
        if rank == self.group.rank:
            with np.errstate(all="ignore"):
                origin = nonfinite_origin(self.model, batch.a, batch.b)
            where = f", on {self.group.name}" if self.group.size > 1 else ""
            seen = (
                f"step {self.step + 1}: {error}{where}. First seen in {origin}, on {', '.join(batch.names_a)} (A) and "
                f"{', '.join(batch.names_b)} (B)"
            )
        found = self.spoilt(self.group.gather(seen)[rank])
        found.everywhere = True
        return found

    def note(self, losses: dict[str, float], batch: Batch) -> list[Finding]:
        """Put the step on record; what the doctor finds new in it."""
        record: dict[str, Any] = {"step": self.step, "epoch": self.epoch, "lr": self.schedule.lr}
        record |= losses | self.times
        if self.group.leads:
            record |= self.display.attempt("looks", lambda: self.watch.look(self.model, self.step)) or {}
        if is_look(record):
            record |= self.pace.take()
        if self.pace.flat:
            record["flat"] = "\n".join(self.pace.flat)
        try:
            if self.evaluation_due:
                record |= self.evaluate()
        finally:  # whatever becomes of the scores, the step is done
            found = self.display.note(record)
        return found

    @property
    def evaluation_due(self) -> bool:
        every, ended = self.config.eval_freq, self.position >= self.loader.batches_per_epoch
        return every > 0 and ended and self.epoch % every == 0

    def evaluate(self) -> dict[str, float]:
        """Scores of the model as it stands, for the record of this step: ssim_A is that of A → B, and so on. Ranks share the work."""
        found = self.scores()
        self.verdict, found = self.group.broadcast((self.verdict, found))
        return found

    def scores(self) -> dict[str, float]:
        """The same, here."""
        assert self.evaluation is not None
        scores, metric = self.evaluation(self.model), self.evaluation.metric
        self.verdict = [metric, overall(scores, metric)]
        rows = {heading[0]: table["model"] for heading, table in scores.items()}
        shown = "  ".join(
            f"{COLUMNS[m]} " + " ".join(show(m, row[m]) for row in rows.values()) for m in next(iter(rows.values()))
        )
        self.tell(f"epoch {self.epoch}, {' and '.join(scores)}: {shown}")
        return {f"{metric}_{start}": value for start, row in rows.items() for metric, value in row.items()}

    def end_epoch(self) -> None:
        """Move on to the next epoch and its learning rate; keep a copy of the state where that is due.

        An epoch ends as a whole or not at all: where a copy cannot be written, it has yet to end.
        """
        before = self.place(), self.schedule.state_dict()
        try:
            self.next_epoch()
        except BaseException:
            self.take_place(before[0])
            self.schedule.load_state_dict(before[1])
            raise

    def next_epoch(self) -> None:
        """The same, which may fail half-way."""
        if self.evaluation_due and self.verdict is None:  # an exception came between the last step and this
            self.display.note({"step": self.step, "epoch": self.epoch, **self.evaluate()})
        verdict, done = self.verdict, self.epoch
        if self.config.eval_freq:
            self.schedule.end_epoch(verdict[1] if verdict else None, verdict[0] if verdict else "")
        else:
            self.schedule.end_epoch(self.cycle_sum / self.position)
        self.epoch, self.position, self.cycle_sum, self.verdict = self.epoch + 1, 0, 0.0, None
        if verdict and (self.best is None or self.best[0] != verdict[0] or verdict[1] < self.best[1]):
            self.best = verdict
            self.write("best.npz")
        if self.config.save_epoch_freq and done % self.config.save_epoch_freq == 0:
            self.write(f"epoch_{done:03}.npz")
            if self.group.leads:
                drop_oldest(self.folder, self.config.keep)
