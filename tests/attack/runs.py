"""A short run of each system, whose changes to the disk are recorded, and how it must end whatever happened to it."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from tests.attack import disk
from tests.attack.disk import Disk, Folder
from tests.attack.recording import Change, Recording, recorded
from tests.run_result import assert_same, result
from train.evaluation import domain_distance

LINE = (
    "--preset tiny --device cpu --load_size 24 --crop_size 24 --batch_size 1 --ngf 1 --ndf 1 --num_threads 0 --n_epochs 2 "
    "--n_epochs_decay 0 --max_steps 5 --save_latest_freq 2 --sample_freq 2 --watch_freq 1 --save_epoch_freq 1 --keep 1 "
    "--eval_freq 1 --name run"
)  # two epochs of three steps, of which five are made
STEPS = 5
SYSTEMS = {
    "cyclegan": "--n_blocks 1 --pool_size 2 --ema 0.9",
    "pix2pix": "--netG resnet --n_blocks 1",
    "augmented_cyclegan": "--load_size 32 --crop_size 32 --n_blocks 1 --nef 1",
    "stochastic_cyclegan": "--load_size 32 --crop_size 32 --n_blocks 1 --save_latest_freq 1",
}
RUN = "checkpoints/run"
LATEST, METRICS = f"{RUN}/latest.npz", f"{RUN}/metrics.jsonl"
SHOW = {"samples": "samples", "metrics": "metrics.jsonl", "lines": "metrics.jsonl", "report": "report.html"}
"""Parts of what a run leaves that are only for show, and the name under which a warning calls them."""


def make_data(root: Path) -> Path:
    """Three pairs to train on, two to look at."""
    rng = np.random.default_rng(0)
    for folder, count in (("trainA", 3), ("trainB", 3), ("testA", 2), ("testB", 2)):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (26, 28, 3), np.uint8)).save(root / folder / f"{i}.png")
    return root


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """Within this context a run does without what takes long and changes nothing on the disk."""
    with (
        mock.patch.object(domain_distance, "STEPS", 2),
        mock.patch("train.report.page.cards", lambda *args: []),
        mock.patch("os.fsync", lambda fd: None),
    ):
        yield


@contextlib.contextmanager
def within(folder: Folder) -> Iterator[Path]:
    """In a folder of its own that holds this."""
    with tempfile.TemporaryDirectory(prefix="crash-") as name:
        root = Path(name).resolve()
        disk.lay_out(folder, root)
        with contextlib.chdir(root):
            yield root


class System:
    """The command of one system on some data; `wanted` is what it leaves undisturbed."""

    def __init__(self, name: str, data: Path) -> None:
        self.name, self.module = name, importlib.import_module(f"train.{name}")
        self.model = next(v for v in vars(self.module).values() if getattr(v, "program", "") == f"train.{name}")
        self.line = [*LINE.split(), *SYSTEMS[name].split(), "--dataroot", str(data)]
        self.every = 1 if "--save_latest_freq 1" in SYSTEMS[name] else 2
        self.wanted: dict[str, Any] = {}  # what the first run leaves
        self.changes, why = self.recorded({})
        assert not why, why

    def recorded(self, folder: Folder) -> tuple[list[Change], str]:
        """The changes of a run that starts, or goes on, from this folder; and what is wrong with its end."""
        with within(folder) as root, recorded(root) as recording:
            why = self.end(recording=recording)
            whole = disk.found_in(root)
        replayed = Disk(folder)
        for change in recording.changes:
            replayed.apply(change)
        assert replayed.now() == whole, "something went past the recording"
        return recording.changes, why

    def run(self, options: str = "", recording: Recording | None = None) -> tuple[int, str]:
        """Exit status of the command, and what it wrote to stderr. A mark says how many steps are promised to be saved."""
        step = self.model.step
        mark = recording.mark if recording else lambda saved: None

        def marked(model: Any, *args: Any) -> Any:
            done = next(iter(model.optimizers.values())).steps
            mark(done - done % self.every)
            return step(model, *args)

        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(self.model, "step", marked),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                status = self.module.main([*self.line, *options.split()])
            except Exception:  # noqa: BLE001  whatever comes out is what is looked for
                return 1, err.getvalue() + traceback.format_exc()
        if status == 0:
            mark(STEPS)
        return status, err.getvalue()

    def end(self, said: str = "", recording: Recording | None = None) -> str:
        """Continue the run that lies here, or start it anew; how its end differs from what it should be, "" if in nothing.

        `said`: what was told before. What is only for show may lack what was told to have failed.
        """
        options = "--continue_train" if Path(LATEST).exists() else ""
        status, more = self.run(options, recording)
        if status and f"has done {STEPS} steps of {STEPS}" not in more:
            return f"exit status {status} of {options or 'a new start'}: {more}"
        return self.difference(said + more)

    def difference(self, said: str = "") -> str:
        """How what lies here differs from what it should be."""
        self.wanted = self.wanted or left()
        failed = {part for part, words in SHOW.items() if f"warning: {words}" in said}
        try:
            assert_same(left(), {part: leaf for part, leaf in self.wanted.items() if part not in failed})
        except Exception as error:  # noqa: BLE001  a file that cannot be read, too
            return f"{error!r}; it said: {said}"
        return ""


def left() -> dict[str, Any]:
    """All that a run leaves, as far as two are equal."""
    run = Path(RUN)
    found = result(run)
    found["scores"] = json.loads((run / "scores.json").read_text())
    found["config"] = json.loads((run / "config.json").read_text())
    found["lines"] = {"": [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]}
    found["report"] = {"": "finished" in (run / "report.html").read_text("utf-8")}
    found["temporary"] = dict.fromkeys(path.name for path in run.rglob("*.tmp"))
    return found
