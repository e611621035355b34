"""The run around the step: data in, steps, checkpoints, samples, report; stopped and continued without a trace."""

from __future__ import annotations

import functools
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.config.options import typed
from train.config.settings import Config
from train.data.dataset import dataset, paired_test, test_samples
from train.data.loader import Batch, Loader
from train.data.preprocess import final_size
from train.errors import NonFiniteLoss, UserError
from train.evaluation.evaluation import Evaluation, overall
from train.evaluation.metrics import COLUMNS, Scores, show
from train.files import checkpoint
from train.files.atomic import make_folder
from train.files.json_file import write_json
from train.models.model import Model
from train.report.doctor import NAN, Finding
from train.run.diagnose import nonfinite_in, nonfinite_origin
from train.run.disk import check_room, drop_oldest, state_bytes
from train.run.display import Display
from train.run.progress import Progress
from train.run.schedule import Schedule
from train.run.signals import StopRequest, stop_request
from train.run.tensorboard import require
from train.run.watch import Watch

PLACE = ("step", "epoch", "position", "cycle_sum", "seconds", "verdict", "best")  # where in the run we are
EVALUATED = 100  # test images of each domain, at most, in an evaluation while training
SAMPLES = 3  # pictures per domain in a sample grid


class NotFinite(UserError):
    """A loss or a weight is a NaN or an infinity."""


class Run:
    """One training run: a model, its data, and the folder `checkpoints_dir/name` with all that it writes.

    config.json      the settings
    latest.npz       everything an exact resume needs; epoch_005.npz and so on are kept copies
    best.npz         the state that --eval_metric liked best, with --eval_freq
    metrics.jsonl    one line per step; with --eval_freq the scores stand in the last of an epoch
    samples/*.png    what the generators do to a few test images
    scores.json      final scores, where true pairs exist
    report.html      all of it on one page
    """

    def __init__(self, system: type[Model], config: Config) -> None:
        # Everything that can refuse bad input comes before the first file is written.
        if config.tensorboard:
            require()
        self.system, self.config = system, config
        self.folder = Path(config.checkpoints_dir) / config.name
        self.dataset = dataset(config)
        self.loader = Loader(self.dataset, config.images_per_step, config.num_threads)
        self.shown = test_samples(config, SAMPLES)
        self.check_sizes()
        self.classifier_file = self.folder / "domain_classifier.npz"
        self.evaluation = Evaluation(config, EVALUATED, self.classifier_file) if config.eval_freq else None
        self.tell: Callable[[str], None] = functools.partial(print, file=sys.stderr, flush=True)
        try:
            self.model = system(config)
        except (RuntimeError, ValueError) as error:
            raise UserError(str(error)) from error
        self.schedule = Schedule(config)
        self.display = Display(self.folder, config, self.model, self.shown, self.tell)
        self.watch = Watch(config.watch_freq)
        self.step = self.saved = 0  # steps done, and those that latest.npz has
        self.whole = True  # whether the state is that after a step, and nothing of the next is in it
        self.epoch, self.position = 1, 0  # the epoch at hand and the batches done in it
        self.cycle_sum = 0.0  # of the model's metric (CycleGAN: the cycle losses) in this epoch, for the plateau policy
        self.seconds = 0.0  # spent training, earlier sittings included
        self.verdict: list[Any] | None = None  # [metric, its value as a loss] of an evaluation that ends this epoch
        self.best: list[Any] | None = None  # the lowest of these
        self.waited = 0.0  # of the loader's waiting, what is accounted for
        self.state = "running"

    @property
    def images(self) -> list[int]:
        """How many there are of A and of B."""
        return [len(self.dataset.a), len(self.dataset.b)]

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        steps = self.config.epochs * self.loader.batches_per_epoch
        return min(steps, self.config.max_steps) if self.config.max_steps else steps

    def check_sizes(self) -> None:
        """UserError if the networks cannot take the size of an image."""
        c = self.config
        sources = (self.dataset.a, self.dataset.b)
        seen = {path: final_size(*size, c) for source in sources for path, size in source.sizes.items()}
        for pair in self.shown:
            seen |= {f"test image {name}": x.shape[1::-1] for name, x in ((pair.name_a, pair.a), (pair.name_b, pair.b))}
        for name, size in seen.items():
            if why := c.misfit(*size):
                crop = "crop" in c.preprocess
                what = f"--crop_size {c.crop_size}" if crop else f"{name}, with --preprocess {c.preprocess}"
                mend = "choose another --crop_size" if crop else "--preprocess resize_and_crop fits images of any size"
                raise UserError(f"{what}: {size[0]}x{size[1]} pixels do not suit the networks: {why}; {mend}")

    # -- the loop

    def train(self) -> None:
        """Train to the end, or until Ctrl-C or another signal asks to stop; what was done is saved either way.

        Whatever else ends the loop is raised again once that is saved too, with a note on how to go on. Only a step that has
        begun to change the state is lost, and those since the last save with it.
        """
        check_room(self.folder, self.state_bytes)
        self.display.begin(self.step)
        make_folder(self.folder)
        write_json(self.folder / "config.json", self.config.as_dict())
        if self.step == 0:
            self.display.sample(0)
        with Progress(self.total, self.step, print_freq=self.config.print_freq) as progress, stop_request() as stop:
            self.tell = self.display.attempt.tell = progress.line
            try:
                self.loop(progress, stop)
                self.state = "finished" if self.step >= self.total else "interrupted"
                self.save()
                self.report()
            except Exception as error:
                self.rescue(error)
                raise
        self.signal = stop.asked

    def loop(self, progress: Progress, stop: StopRequest) -> None:
        """Steps, epoch by epoch."""
        while self.step < self.total and not stop.asked:
            self.model.set_lr(self.schedule.lr)
            for batch in self.loader.iterate(self.epoch, self.position):
                losses = self.train_on(batch)
                progress.update(losses, self.schedule.lr)
                if self.step % self.config.sample_freq == 0:
                    self.display.sample(self.step)
                for finding in self.note(losses, batch):
                    self.tell(f"doctor, step {self.step}: {finding}")
                if self.step >= self.total or stop.asked:
                    break
                if self.step % self.config.save_latest_freq == 0:
                    self.save()
                if time.perf_counter() > self.display.report_due:
                    self.report()
            if self.position >= self.loader.batches_per_epoch:  # beyond, where there were more images once
                self.end_epoch()

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
        before = self.model.touched()
        try:
            with np.errstate(all="ignore"):  # the step looks at its losses itself; warnings would bury its message
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
        return losses

    def note(self, losses: dict[str, float], batch: Batch) -> list[Finding]:
        """Put the step on record; what the doctor finds new in it."""
        record: dict[str, Any] = {"step": self.step, "epoch": self.epoch, "lr": self.schedule.lr}
        record |= losses | self.times
        record |= self.display.attempt("looks", lambda: self.watch.look(self.model, self.step)) or {}
        if batch.flat:
            record["flat"] = "\n".join(batch.flat)
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
        """Scores of the model as it stands, for the record of this step: ssim_A is that of A → B, and so on."""
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
            drop_oldest(self.folder, self.config.keep)

    @property
    def state_bytes(self) -> int:
        """About what a checkpoint of this run takes on the disk."""
        return state_bytes(self.config, self.model, self.shown[0])

    def lost(self, error: NonFiniteLoss, batch: Batch) -> NotFinite:
        """What to tell when a loss is no longer a number."""
        with np.errstate(all="ignore"):
            origin = nonfinite_origin(self.model, batch.a, batch.b)
        seen = (
            f"step {self.step + 1}: {error}. First seen in {origin}, on {', '.join(batch.names_a)} (A) and "
            f"{', '.join(batch.names_b)} (B)"
        )
        return self.spoilt(seen)

    def spoilt(self, seen: str) -> NotFinite:
        """What to tell when numbers are no longer finite. What led there is in the state already: it is not saved."""
        self.state = "interrupted"
        self.report(findings=[Finding(NAN.name, "", seen, NAN.advice)])
        way = "no state had been saved yet.\n"
        if self.saved:
            way = (
                f"the last good state is kept in {self.folder / 'latest.npz'}, step {self.saved}. To go on from there more "
                f"slowly:\n  {self.command_to_go_on()} --lr {self.config.lr / 2:.3g}\n"
            )
        return NotFinite(
            f"{seen}. Training stops here; {way}"
            "Usual causes: too high a learning rate (try a smaller --lr), or images that are almost one flat colour."
        )

    def command(self, start: str) -> str:
        """What to type to have a program take up this run: `start`, such as "train.evaluate", and the run's name."""
        command = f"{typed(start)} --name {shlex.quote(self.config.name)}"
        if self.config.checkpoints_dir != Config.checkpoints_dir:
            command += f" --checkpoints_dir {shlex.quote(self.config.checkpoints_dir)}"
        return command

    def command_to_go_on(self) -> str:
        """What to type to continue this run."""
        return self.command(f"{self.system.program} --continue_train")

    # -- what is written

    def save(self) -> None:
        """Write the state."""
        self.write("latest.npz")
        self.saved = self.step

    def write(self, name: str) -> None:
        """Write the state to a file of the run's folder, the records before it. UserError if a number in it is not finite."""
        state = self.state_dict()
        if bad := nonfinite_in(state["model"]):
            raise self.spoilt(f"step {self.step}: {bad} holds a NaN or an infinity, so {name} was not written")
        self.display.sync()
        checkpoint.save(self.folder / name, state)

    def report(self, scores: dict[str, Scores] | None = None, findings: Sequence[Finding] = ()) -> None:
        """Write report.html as things stand."""
        self.display.report(self.state, self.total, self.command_to_go_on() if self.saved else "", scores, findings)

    def finish(self) -> dict[str, Scores] | None:
        """The last sample grid and, where the truth is known, the final scores."""
        if not self.display.sample_path(self.step).exists():
            self.display.sample(self.step)
        scores = None
        if self.evaluation or paired_test(self.config, 1):
            everything = Evaluation(self.config, cache=self.classifier_file)
            scores = everything(self.model, distance=self.evaluation is not None)
            write_json(self.folder / "scores.json", {"step": self.step, **scores})
        self.report(scores)
        self.display.close()
        return scores

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """Everything the rest of the run depends on. Data order and crops follow from seed, epoch and position."""
        return {
            "program": self.system.program,
            "config": self.config.as_dict(),
            "run": self.place() | {"images": self.images},
            "schedule": self.schedule.state_dict(),
            "watch": self.watch.state_dict(),
            "model": self.model.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`. What it lacks, because it is older or only brings networks, is as in a new run."""
        self.model.load_state_dict(state["model"])
        for name, part in (("schedule", self.schedule), ("watch", self.watch)):
            if name in state:
                part.load_state_dict(state[name])
        self.take_place(state["run"])
        self.saved = self.step
        then = state["run"].get("images")  # older versions did not say
        beyond = self.position > self.loader.batches_per_epoch
        if beyond or then not in (None, self.images):
            were = f"{then[0]} images of A and {then[1]} of B" if then else "more images"
            now = f"{len(self.dataset.a)} and {len(self.dataset.b)} now"
            self.tell(
                f"data     {were} when it was saved, {now}" + (f"; epoch {self.epoch + 1} begins" if beyond else "")
            )

    def place(self) -> dict[str, Any]:
        """Where in the run we are."""
        return {name: getattr(self, name) for name in PLACE}

    def take_place(self, place: dict[str, Any]) -> None:
        """Stand there."""
        for name in PLACE:
            setattr(self, name, place.get(name, getattr(self, name)))
