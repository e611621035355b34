"""What goes wrong beside the training does not end it, and what ends it costs as little as it can."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels.dispatch import references
from tests import run_result
from tests.command.typed import TINY, picture
from tests.run_result import assert_same
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.data.loader import Loader
from train.evaluation import evaluation
from train.evaluation.evaluation import Evaluation
from train.files import checkpoint
from train.models.model import Model
from train.report.page import write_report
from train.run import display
from train.run.command import run_command
from train.run.tracking import Board
from train.run.watch import Watch

RUN = Path("checkpoints/data")
LINE = (
    f"{TINY} --pool_size 2 --n_epochs 2 --n_epochs_decay 1 --save_latest_freq 2 --sample_freq 2 --watch_freq 1 "
    "--save_epoch_freq 1 --eval_freq 1 --eval_metric ssim --max_steps 8 --name data"
)  # 3 epochs of 3 steps, of which 8 are made


class Distance:
    """In place of the distance by a classifier, which takes a minute to train without compiled kernels."""

    def __init__(self, *args: Any) -> None: ...

    def __call__(self, pictures: Any, domain: str) -> float:
        return float(np.mean(pictures))


@pytest.fixture(autouse=True, scope="module")
def no_compiler() -> Iterator[None]:
    with references(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "DomainDistance", Distance)
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 images of A, 2 of B, two test pairs."""
    folder = tmp_path_factory.mktemp("data")
    for name in (
        "trainA/a0",
        "trainA/a1",
        "trainA/a2",
        "trainB/b0",
        "trainB/b1",
        "testA/t0",
        "testA/t1",
        "testB/t0",
        "testB/t1",
        "valA/t0",
        "valA/t1",
        "valB/t0",
        "valB/t1",
    ):
        picture(folder / f"{name}.png")
    return folder


def run(root: Path, options: str = "", system: type[Model] = CycleGAN) -> int:
    return run_command(system, [*LINE.split(), "--dataroot", str(root), *options.split()])


def result() -> dict[str, Any]:
    """All that a run leaves behind, without clock times and places."""
    return run_result.result(RUN)


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run leaves where nothing goes wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        patch.setattr(display, "write_report", lambda *args, **kwargs: None)
        assert run(root) == 0
        left = result()
    assert set(left["kept"]) == {"best.npz", "epoch_001.npz", "epoch_002.npz"} and len(left["metrics"]) == 8
    return left


@pytest.fixture
def undisturbed(whole: dict[str, Any]) -> dict[str, Any]:
    """The same, for a test to change."""
    return {part: dict(items) for part, items in whole.items()}


def for_show(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings of a run with reports and TensorBoard."""
    monkeypatch.setattr(display, "write_report", write_report)
    monkeypatch.setattr("train.report.page.cards", lambda *args: [])  # the slow part
    assert run(root, "--tensorboard") == 0
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return sorted(line.split(": ")[1] for line in err.splitlines() if line.startswith("warning: "))


def test_files_in_the_way_of_what_is_only_for_show(
    root: Path, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told once; the weights are to the bit what they would be."""
    for folder in ("report.html", "metrics.jsonl"):
        (RUN / folder).mkdir(parents=True)
    for file in ("samples", "tensorboard"):
        (RUN / file).write_text("garbage")
    told = for_show(root, capsys, monkeypatch)
    assert told == ["TensorBoard", "metrics.jsonl", "report.html", "samples"]
    (RUN / "metrics.jsonl").rename(RUN / "was in the way")
    (RUN / "metrics.jsonl").touch()
    undisturbed["metrics"], undisturbed["samples"] = {}, {}
    assert_same(result(), undisturbed)


def test_bugs_in_what_is_only_for_show(
    root: Path, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same; and a stray file among the samples is nobody's business."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise MemoryError

    for owner, name in ((Board, "write"), (Watch, "look"), (display, "sample_grid"), (display.Summary, "hear")):
        monkeypatch.setattr(owner, name, fail)
    (RUN / "samples").mkdir(parents=True)
    (RUN / "samples" / "step_best.png").write_text("garbage")
    assert for_show(root, capsys, monkeypatch) == ["TensorBoard", "doctor", "looks", "samples"]
    got, wanted = (
        {
            "state": {key: leaf for key, leaf in left["state"].items() if not key.startswith("watch")},
            "metrics": {step: line["cycle_A"] for step, line in left["metrics"].items()},
            "kept": left["kept"],
        }
        for left in (result(), undisturbed)
    )
    assert_same(got, wanted)


def test_records_wait_until_the_disk_takes_them(
    root: Path, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in the way of metrics.jsonl goes in the fifth step: after it is saved, not a line is missing."""

    class Clears(CycleGAN):
        def step(self, a: Any, b: Any) -> dict[str, float]:
            if self.optimizers["g"].steps == 4:
                (RUN / "metrics.jsonl").rmdir()
            return super().step(a, b)

    (RUN / "metrics.jsonl").mkdir(parents=True)
    capsys.readouterr()
    assert run(root, "", Clears) == 0
    err = capsys.readouterr().err
    assert err.count("warning: metrics.jsonl: ") == 1 and err.count("metrics.jsonl: works again") == 1
    assert_same(result(), undisturbed)


def test_a_sample_that_is_no_picture(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk may leave one: the report goes without it, and says so."""

    class Scribbles(CycleGAN):
        def step(self, a: Any, b: Any) -> dict[str, float]:
            if self.optimizers["g"].steps == 2:
                (RUN / "samples" / "step_000002.png").write_text("<no picture>")
            return super().step(a, b)

    monkeypatch.setattr(display, "write_report", write_report)
    monkeypatch.setattr("train.report.page.cards", lambda *args: [])
    assert run(root, "", Scribbles) == 0
    assert capsys.readouterr().err.count("warning: report.html without step_000002.png: ") == 1
    page = (RUN / "report.html").read_text("utf-8")
    assert page.count("<figure data-step") == 4 and "step_000002.png cannot be shown: " in page


def test_tensorboards_thread_may_end(tmp_path: Path) -> None:
    """It does on a full disk, and what is put into its queue of ten then waits for ever."""
    board = Board(Config(), tmp_path, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("threading.excepthook", lambda *args: None)
        events = board.writer.file_writer.event_writer._ev_writer
        patch.setattr(events, "write_event", lambda event: 1 / 0)
        board.write({"step": 1, "loss": 1.0})
        board.writer.file_writer.event_writer._worker.join(timeout=10)
    raised: list[OSError] = []

    def write() -> None:
        try:
            for step in range(50):
                board.write({"step": step, "loss": 1.0})
        except OSError as error:
            raised.append(error)

    writer = threading.Thread(target=write, daemon=True)  # which would wait for ever
    writer.start()
    writer.join(timeout=10)
    assert raised and "disk full" in str(raised[0])


# -- what ends the loop


class Fails(CycleGAN):
    """Its sixth step fails once: at its very beginning, or when the generators have moved."""

    error: Exception | None = None
    late = False

    def fail(self) -> None:
        error, Fails.error = Fails.error, None
        if error:
            raise error

    def step(self, a: Any, b: Any) -> dict[str, float]:
        if self.optimizers["g"].steps == 5 and not Fails.late:
            self.fail()
        return super().step(a, b)

    def discriminator_losses(self, d: Any) -> Any:
        if self.optimizers["g"].steps == 6 and Fails.late:
            self.fail()
        return super().discriminator_losses(d)


@pytest.mark.parametrize(
    ("error", "late"), [(MemoryError("no room"), False), (RuntimeError("a bug"), True), (OSError(5, "a cable"), True)]
)
def test_a_step_that_fails(
    root: Path, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str], error: Exception, late: bool
) -> None:
    """Where it had changed nothing, the five before it are saved; else those of the last save."""
    Fails.error, Fails.late = error, late
    try:
        assert run(root, "", Fails) == 2
        told = capsys.readouterr().err
    except RuntimeError as raised:  # a bug keeps its traceback, which shows its notes
        told = "\n".join(raised.__notes__)
    kept = 4 if late else 5
    assert f"Step {kept} is saved. When that is mended, go on with:\n  python -m train.cyclegan --cont" in told
    assert ("Step 6 had changed a part of the state" in told) == late
    assert checkpoint.load(RUN / "latest.npz")["run"]["step"] == kept
    assert run(root, "--continue_train") == 0
    assert_same(result(), undisturbed)


@pytest.mark.parametrize(
    ("owner", "name", "at", "kept"),
    [
        (Loader, "_read", 5, 4),  # the fifth batch
        (Evaluation, "__call__", 2, 6),  # the scores that end the second epoch
        (checkpoint, "save", 2, 3),  # best.npz
        (checkpoint, "save", 3, 3),  # epoch_001.npz
    ],
)
def test_whatever_else_fails(
    root: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int, kept: int
) -> None:
    """The state is whole, so it is saved: nothing is lost, and an epoch that could not end ends when the run goes on."""
    calls, work = [], getattr(owner, name)

    def fails(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == at:
            raise RuntimeError("out of order")
        return work(*args)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="out of order") as raised:
        patch.setattr(owner, name, fails)
        run(root, "--num_threads 0")
    assert f"Step {kept} is saved" in "\n".join(raised.value.__notes__)
    assert run(root, "--continue_train") == 0
    assert_same(result(), undisturbed)


# -- numbers that are none


class Spoils(CycleGAN):
    """After its fifth step a weight is NaN, though no loss was."""

    def step(self, a: Any, b: Any) -> dict[str, float]:
        losses = super().step(a, b)
        if self.optimizers["g"].steps == 5:
            self.gen_ab.parameters()[0].data[...] = np.nan
        return losses


@pytest.mark.parametrize("options", ["--save_latest_freq 1", "--max_steps 5"])
def test_a_weight_that_is_nan_is_not_saved(root: Path, capsys: pytest.CaptureFixture[str], options: str) -> None:
    assert run(root, options, Spoils) == 2
    err = capsys.readouterr().err
    kept = 4
    assert "step 5: networks/gen_ab/model.1.weight holds a NaN or an infinity, so latest.npz was not written" in err
    assert f"the last good state is kept in {RUN / 'latest.npz'}, step {kept}" in err
    assert "python -m train.cyclegan --continue_train --name data --lr 0.0005" in err
    assert checkpoint.load(RUN / "latest.npz")["run"]["step"] == kept
    assert run(root, "--continue_train --lr 0.0005") == 0


def test_a_state_that_was_saved_with_nan(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As older versions did: it is refused, and the newest sound copy is named."""
    assert run(root) == 0
    for name in ("latest.npz", "epoch_002.npz"):
        state = checkpoint.load(RUN / name)
        state["model"]["optimizers"]["g"]["m"][0][...] = np.inf
        checkpoint.save(RUN / name, state)
    os.utime(RUN / "best.npz", (0, 0))  # sound, but older than epoch_001.npz
    capsys.readouterr()
    assert run(root, "--continue_train --max_steps 9") == 2
    err = capsys.readouterr().err
    assert "latest.npz: optimizers/g/m/0 holds a NaN or an infinity" in err
    assert f"cp {RUN / 'epoch_001.npz'} {RUN / 'latest.npz'}" in err
