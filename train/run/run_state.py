"""A run: what it is made of, where in it we are, and how that is saved and taken up again without a trace."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from train.config.parser import typed
from train.config.settings import Config
from train.data.dataset import dataset
from train.data.loader import Loader
from train.data.plain import test_samples
from train.errors import UserError
from train.evaluation.evaluation import Evaluation
from train.evaluation.metrics import Scores
from train.files import checkpoint
from train.files.claim import Claim
from train.files.finite import nonfinite_in
from train.models.data_parallel import DataParallel
from train.models.model import Model
from train.ranks.launcher import group
from train.report.doctor import NAN, Finding
from train.run.disk import most_checkpoints, state_bytes
from train.run.display import Display, Unseen, unheard
from train.run.exit_code import say
from train.run.fit import check_sizes
from train.run.pace import Pace, check_shares
from train.run.schedule import Schedule
from train.run.tracking import asked, library
from train.run.watch import Watch

PLACE = ("step", "epoch", "position", "cycle_sum", "seconds", "verdict", "best")  # where in the run we are
EVALUATED = 100  # validation images of each domain, at most, in an evaluation while training
SAMPLES = 3  # pictures per domain in a sample grid
CLASSIFIER = "domain_classifier.npz"


class NotFinite(UserError):
    """A loss or a weight is a NaN or an infinity."""


class RunState:
    """One training run: a model, its data, and the folder `checkpoints_dir/name` with all that it writes.

    config.json      the settings
    latest.npz       everything an exact resume needs; epoch_005.npz and so on are kept copies
    best.npz         the state that --eval_metric liked best, with --eval_freq
    metrics.jsonl    one line per step; with --eval_freq the scores stand in the last of an epoch
    samples/*.png    what the generators do to a few test images
    scores.json      the step at which it ended, and its scores where true pairs exist
    report.html      all of it on one page
    lock.json        which process trains it, while one does
    """

    def __init__(self, system: type[Model], config: Config) -> None:
        self.group = group()
        if self.group.size > 1 and config.allreduce == "auto":
            config = config.replace(allreduce="exact")
        if config.device == "cuda":
            self.group.take_gpu()
        # Everything that can refuse bad input comes before the first file is written.
        if name := asked(config):
            library(name)
        self.system, self.config = system, config
        self.folder = Path(config.checkpoints_dir) / config.name
        self.dataset = dataset(config)
        self.loader = Loader(self.dataset, config.images_per_step, config.num_threads)
        self.shown = test_samples(config, SAMPLES)
        check_sizes(config, self.dataset, self.shown)
        self.classifier_file = self.folder / CLASSIFIER
        self.evaluation = Evaluation(config, EVALUATED, self.classifier_file, "val") if config.eval_freq else None
        if self.evaluation:
            self.evaluation.ranks = self.group
            self.evaluation.cache = self.classifier_file if self.group.leads else None
        self.tell: Callable[[str], None] = functools.partial(say, file=sys.stderr) if self.group.leads else unheard
        try:
            self.model = system(config)
        except (RuntimeError, ValueError) as error:
            raise UserError(str(error)) from error
        self.parallel: DataParallel | None = None
        if config.allreduce != "auto":
            self.parallel = DataParallel(self.model, self.group, exact=config.allreduce == "exact")
            check_shares(self.parallel)
            self.loader.own = self.parallel.places
        self.schedule = Schedule(config)
        display = Display if self.group.leads else Unseen
        self.display = display(self.folder, config, self.model, self.shown, self.tell)
        self.watch = Watch(config.watch_freq)
        self.step = self.saved = 0  # steps done, and those that latest.npz has
        self.whole = True  # whether the state is that after a step, and nothing of the next is in it
        self.epoch, self.position = 1, 0  # the epoch at hand and the batches done in it
        self.cycle_sum = 0.0  # of the model's metric (CycleGAN: the cycle losses) in this epoch, for the plateau policy
        self.seconds = 0.0  # spent training, earlier sittings included
        self.verdict: list[Any] | None = None  # [metric, its value as a loss] of an evaluation that ends this epoch
        self.best: list[Any] | None = None  # the lowest of these
        self.waited = 0.0  # of the loader's waiting, what is accounted for
        self.pace = Pace(self.group)
        self.state = "running"
        self.claim: Claim | None = None  # to the folder, where others might want it

    @property
    def images(self) -> list[int]:
        """How many there are of A and of B."""
        return [len(self.dataset.a), len(self.dataset.b)]

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        steps = self.config.epochs * self.loader.batches_per_epoch
        return min(steps, self.config.max_steps) if self.config.max_steps else steps

    @property
    def state_bytes(self) -> int:
        """About what a checkpoint of this run takes on the disk."""
        return state_bytes(self.config, self.model, self.shown[0])

    @property
    def checkpoints(self) -> int:
        """How many checkpoints it keeps in the end."""
        return most_checkpoints(self.config, self.total // self.loader.batches_per_epoch)

    def stand_in(self, folder: Path) -> None:
        """Write into this folder from here on."""
        self.config = self.config.replace(name=folder.name, checkpoints_dir=str(folder.parent))
        self.folder, self.classifier_file = folder, folder / CLASSIFIER
        if self.evaluation:
            self.evaluation.cache = self.classifier_file
        self.display.stand_in(folder, self.config)

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
        """Write the state to a file of the run's folder, the records before it; rank 0 does. UserError if a number in it is not
        finite."""
        if not self.group.leads:
            return
        state = self.state_dict()
        if bad := nonfinite_in(state["model"]):
            raise self.spoilt(f"step {self.step}: {bad} holds a NaN or an infinity, so {name} was not written")
        self.display.sync()
        checkpoint.save(self.folder / name, state)

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

    def report(self, scores: dict[str, Scores] | None = None, findings: Sequence[Finding] = ()) -> None:
        """Write report.html as things stand."""
        self.display.report(self.state, self.total, self.command_to_go_on() if self.saved else "", scores, findings)

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
