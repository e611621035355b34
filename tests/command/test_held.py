"""A run's folder has one process that trains in it; a run is finished though it was killed on the way; its folder may go."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernels.dispatch import references
from tests.command.typed import TINY, picture, refused, run
from tests.run_result import assert_same, leaves
from train import convert, evaluate
from train.cyclegan import CycleGAN, main
from train.files import checkpoint
from train.files.claim import LOCK, Claim
from train.run.command import run_command

RUN = Path("checkpoints/data")


@pytest.fixture(autouse=True, scope="module")
def no_compiler() -> Iterator[None]:
    with references():
        yield


@pytest.fixture
def paired(root: Path) -> Path:
    """The same with test pairs."""
    for name in ("testA/t0", "testA/t1", "testB/t0", "testB/t1"):
        picture(root / f"{name}.png")
    return root


def test_a_second_process_is_told_who_has_the_run(paired: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Going on with it or starting one of its name; what only reads is let in, and so is a dry run."""
    assert run(f"--dataroot {paired}")[0] == 0
    with Claim() as claim:
        claim.take(RUN)
        capsys.readouterr()
        for line in (
            "--continue_train --max_steps 4",
            "--continue_train --name data",
            f"--name data --dataroot {paired}",
        ):
            error = refused(line, capsys)
            assert f"error: checkpoints/data is in use by process {os.getpid()} on " in error and error.count("\n") == 1
        assert "palindrome-gan" in error or "another --name" in error
        assert convert.main([str(RUN), "--run", "data"]) == 2
        assert "is in use by process" in capsys.readouterr().err
        assert run("--continue_train --max_steps 4 --dry_run")[0] == 0
        assert evaluate.main(["--name", "data", "--no_distance"]) == 0
        assert run(f"--dataroot {paired}")[0] == 0 and Path("checkpoints/data-2/latest.npz").exists()
    assert main(["--continue_train", "--name", "data", "--max_steps", "4"]) == 0
    assert not (RUN / LOCK).exists()


def test_the_study_takes_its_runs(paired: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from train import ablate

    line = [*TINY.split(), "--dataroot", str(paired), "--variants", "full"]
    with Claim() as claim:
        claim.take(Path("checkpoints/ablation/full-0"))
        assert ablate.main(line) == 2
    assert "checkpoints/ablation/full-0 is in use by process" in capsys.readouterr().err


def test_a_run_takes_its_name_before_it_looks_at_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three that start together take three names."""
    taken: list[str] = []

    class Starts(CycleGAN):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            taken.append(config.name)
            if len(taken) < 3:
                assert run_command(Starts, [*TINY.split(), "--dataroot", str(root)]) == 0

    assert run_command(Starts, [*TINY.split(), "--dataroot", str(root)]) == 0
    assert taken == ["data", "data-2", "data-3"] and sorted(os.listdir("checkpoints")) == taken


@pytest.mark.parametrize("left", [(LOCK,), (LOCK, "config.json"), ("config.json",)])
def test_killed_before_it_was_first_saved(
    root: Path, capsys: pytest.CaptureFixture[str], left: tuple[str, ...]
) -> None:
    RUN.mkdir(parents=True)
    for name in left:
        (RUN / name).write_text("{}")
    assert "was stopped before it was first saved; start it without" in refused("--continue_train --name data", capsys)
    assert run(f"--name data --dataroot {root}")[0] == 0


def weights(folder: Path | str) -> dict[str, Any]:
    return {"model": leaves(checkpoint.load(Path(folder, "latest.npz"))["model"])}


# -- killed between its last save and its scores


class Killed(BaseException):
    """In place of SIGKILL."""


def killed(*args: Any, **kwargs: Any) -> None:
    raise Killed


@pytest.mark.parametrize(
    "what", ["train.run.command.finish", "train.run.finish.Evaluation.__call__", "train.run.finish.write_json"]
)
def test_what_is_missing_of_the_end_is_made(
    paired: Path, capsys: pytest.CaptureFixture[str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores, the last sample and the report: as if it had not been killed."""
    assert run(f"--dataroot {paired} --checkpoints_dir whole")[0] == 0
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(what, killed)
        run(f"--dataroot {paired}")
    assert not (RUN / "scores.json").exists()
    capsys.readouterr()
    assert main(["--continue_train", "--name", "data"]) == 0
    out = capsys.readouterr().out
    assert "all steps are done; what is missing of the end is made now" in out and "A → B" in out
    for name in ("scores.json", "samples/step_000002.png"):
        assert (RUN / name).read_bytes() == Path("whole/data", name).read_bytes(), name
    assert_same(weights(RUN), weights("whole/data"))
    assert main(["--continue_train", "--name", "data"]) == 2
    assert "has done 2 steps of 2; to train on, raise --max_steps" in capsys.readouterr().err


def test_a_run_without_scores_is_finished_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"--dataroot {root}")[0] == 0
    assert main(["--continue_train", "--name", "data"]) == 2
    assert json.loads((RUN / "scores.json").read_text()) == {"step": 2}


def test_an_epoch_that_could_not_end_is_ended(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step is done and saved, its epoch's copy could not be written."""
    line = f"--dataroot {root} --n_epochs 1 --n_epochs_decay 0 --save_epoch_freq 1 --max_steps 3"
    with monkeypatch.context() as patch:
        save = checkpoint.save
        patch.setattr(checkpoint, "save", lambda path, state: 1 / 0 if "epoch" in path.name else save(path, state))
        with pytest.raises(ZeroDivisionError):
            run(line)
    assert (RUN / "latest.npz").exists() and not (RUN / "epoch_001.npz").exists()
    assert main(["--continue_train"]) == 0
    assert (RUN / "epoch_001.npz").exists() and checkpoint.load(RUN / "latest.npz")["run"]["epoch"] == 2


# -- a folder that goes


def moved() -> None:
    Path("checkpoints").rename("old")


def renamed() -> None:
    """And another run takes its name."""
    RUN.rename("checkpoints/first")
    RUN.mkdir()
    (RUN / "latest.npz").write_text("another's")


def deleted() -> None:
    shutil.rmtree("checkpoints")


def replaced() -> None:
    shutil.rmtree(RUN)
    RUN.mkdir()
    (RUN / "latest.npz").write_text("another's")


def in_step(number: int, do: Callable[[], None]) -> type[CycleGAN]:
    class Goes(CycleGAN):
        def step(self, a: Any, b: Any) -> dict[str, float]:
            if self.optimizers["g"].steps + 1 == number:
                do()
            return super().step(a, b)

    return Goes


def in_save(number: int, do: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> type[CycleGAN]:
    """While a checkpoint is written."""
    count, replace = [], os.replace

    def late(source: Path, target: Path) -> None:
        if Path(target).name == "latest.npz":
            count.append(target)
            if len(count) == number:
                do()
        replace(source, target)

    monkeypatch.setattr(os, "replace", late)
    return CycleGAN


@pytest.mark.parametrize("when", ["step", "save"])
@pytest.mark.parametrize(
    ("do", "goes", "kept"),
    [(moved, "old/data", True), (renamed, "checkpoints/first", True), (deleted, "checkpoints/data", False),
     (replaced, "checkpoints/data-2", False)],
)  # fmt: skip
def test_a_folder_that_is_moved_or_deleted(
    root: Path, do: Callable[[], None], goes: str, kept: bool, when: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """It is told once, nothing is lost, and the command it ends with goes on to the bit."""
    options = f"--dataroot {root} --max_steps 6 --save_latest_freq 2 --sample_freq 2 --tensorboard"
    assert run(options + " --name whole --checkpoints_dir elsewhere")[0] == 0
    capsys.readouterr()
    system = in_step(4, do) if when == "step" else in_save(2, do, monkeypatch)
    assert run_command(system, [*TINY.split(), *options.split(), "--name", "data"]) == 0
    told = capsys.readouterr()
    folder = Path(goes)
    warnings = [line for line in told.err.splitlines() if line.startswith("warning: ")]
    word = f"was moved: the run goes on in {goes}" if kept else f"step 4 is saved in a new {goes}, and the run"
    assert len(warnings) == 1 and f"checkpoints/data {word}" in warnings[0].replace(
        "was deleted, and with it the records and copies up to here: ", ""
    )
    assert f"weights  {goes}/latest.npz" in told.out
    assert_same(weights(folder), weights("elsewhere/whole"))
    name = checkpoint.load(folder / "latest.npz")["config"]["name"]
    assert name == folder.name == json.loads((folder / "config.json").read_text())["name"]
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1 if kept else steps[0], 7)) and steps[0] <= 5
    assert (folder / "samples" / "step_000006.png").exists() and not (folder / LOCK).exists()
    if do in (renamed, replaced):
        assert os.listdir(RUN) == ["latest.npz"] and (RUN / "latest.npz").read_text() == "another's"
    if do is moved:
        assert not Path("checkpoints").exists()
    assert f"train.evaluate --name {folder.name}" in told.out


def test_what_was_deleted_is_saved_again_at_once(root: Path) -> None:
    class Looks(CycleGAN):
        def step(self, a: Any, b: Any) -> dict[str, float]:
            if self.optimizers["g"].steps == 1:
                deleted()
            if self.optimizers["g"].steps == 2:
                assert checkpoint.load(RUN / "latest.npz")["run"]["step"] == 2
            return super().step(a, b)

    assert run_command(Looks, [*TINY.split(), "--dataroot", str(root), "--max_steps", "3"]) == 0
