"""A run that was stopped and continued, gently or by force, gives the bits of one that never stopped."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests import run_result
from tests.run_result import assert_same
from train.cyclegan import CycleGAN, main
from train.files import checkpoint
from train.run import display
from train.run.command import run_command

ROOT = Path(__file__).resolve().parent.parent
TINY = (
    "--preset tiny --device cpu --load_size 28 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 1 --pool_size 2 "
    "--n_epochs 2 --n_epochs_decay 2 --sample_freq 3 --save_latest_freq 4 --save_epoch_freq 2"
)  # 4 epochs of 5 steps on the pictures below; the rate falls in the last two
PLANNED = [f"step_{step:06}.png" for step in (0, 3, 6, 9, 10, 12, 15, 18, 20)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 pictures of A, 4 of B, 2 of each to look at."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for folder, count in (("trainA", 5), ("trainB", 4), ("testA", 1), ("testB", 1)):
        (root / folder).mkdir()
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (32, 36, 3), np.uint8)).save(root / folder / f"{folder}{i}.png")
    return root


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports take longer than these runs; they have tests of their own."""
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)


def command(data: Path, folder: Path, options: str = "") -> list[str]:
    return [*TINY.split(), "--dataroot", str(data), "--checkpoints_dir", str(folder), "--name", "run", *options.split()]


def result(folder: Path) -> dict[str, Any]:
    """All that a run leaves behind, without clock times and places; a line of metrics for every step."""
    left = run_result.result(folder / "run")
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    assert list(left["metrics"]) == list(range(1, len(lines) + 1))
    left["samples"] = {name: left["samples"][name] for name in PLANNED if name in left["samples"]}  # each stop adds one
    return left


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run leaves when nobody stops it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(display, "write_report", lambda *args, **kwargs: None)
        assert main(command(data, folder)) == 0
    whole = result(folder)
    assert len(whole["metrics"]) == 20 and whole["metrics"][20]["epoch"] == 4
    assert [round(line["lr"] / 0.001, 4) for line in list(whole["metrics"].values())[::5]] == [1, 1, 0.6667, 0.3333]
    assert (
        whole["state"]["model/optimizers/g/lr/"]
        == whole["state"]["model/optimizers/d/lr/"]
        == whole["metrics"][20]["lr"]
    )
    assert {*PLANNED} == set(whole["samples"]) == {file.name for file in (folder / "run" / "samples").iterdir()}
    assert set(whole["kept"]) == {"epoch_002.npz", "epoch_004.npz"}
    return whole


class Interrupter(CycleGAN):
    """Asks the process to stop, as Ctrl-C does, during its step number `at`."""

    at = 0

    def step(self, a: Any, b: Any) -> dict[str, float]:
        Interrupter.at -= 1
        if Interrupter.at == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return super().step(a, b)


@pytest.mark.parametrize("stops", [[1], [4, 5], [7, 8], [10], [13, 19], list(range(1, 20))])
def test_stopped_by_hand_anywhere(
    data: Path, tmp_path: Path, undisturbed: dict[str, Any], stops: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of an epoch, at its end (5, 10), where it is saved anyway (4, 8), in the decay, after every step."""
    done, line = 0, command(data, tmp_path)
    for stop in stops:
        Interrupter.at = stop - done
        assert run_command(Interrupter, line) == 130
        out = capsys.readouterr().out
        assert f"stopped after step {stop} of 20; everything is saved" in out
        assert checkpoint.load(tmp_path / "run" / "latest.npz")["run"]["step"] == stop
        assert (tmp_path / "run" / "samples" / f"step_{stop:06}.png").exists()
        printed = out.strip().splitlines()[-1].strip()
        program, line = shlex.split(printed)[:3], shlex.split(printed)[3:]  # the command that it said to type
        assert program == ["python", "-m", "train.cyclegan"]
        done = stop
    Interrupter.at = 0
    assert main(line) == 0
    assert f"going on after step {done}" in capsys.readouterr().out
    assert_same(result(tmp_path), undisturbed)


@pytest.mark.parametrize("options", ["--num_threads 0", "--save_latest_freq 1"])
def test_how_a_run_is_fed_and_saved_does_not_matter(
    data: Path, tmp_path: Path, undisturbed: dict[str, Any], options: str
) -> None:
    assert main(command(data, tmp_path, options)) == 0
    assert_same(result(tmp_path), undisturbed)


def test_lengthened_runs(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--max_steps ends early, its last step is saved, and raising it goes on exactly; a finished run says what to raise."""
    for options in ("--max_steps 7", "--max_steps 9 --continue_train"):
        assert main(command(data, tmp_path / "two", options)) == 0
    assert main(command(data, tmp_path / "one", "--max_steps 9")) == 0
    assert_same(result(tmp_path / "two"), result(tmp_path / "one"))

    folder = ["--checkpoints_dir", str(tmp_path / "one"), "--continue_train"]
    for options, advice in (([], "--max_steps"), (["--max_steps", "8"], "--max_steps")):
        before = result(tmp_path / "one")
        capsys.readouterr()
        assert main([*folder, *options]) == 2
        assert f"run 'run' has done 9 steps of {options[-1] if options else 9}; to train on, raise {advice}" in (
            capsys.readouterr().err
        )
        assert_same(result(tmp_path / "one"), before)  # and nothing was touched
    assert main([*folder, "--max_steps", "500", "--n_epochs", "1", "--n_epochs_decay", "1"]) == 0  # 10 steps
    assert main([*folder, "--max_steps", "500"]) == 2
    assert "raise --n_epochs or --n_epochs_decay" in capsys.readouterr().err


def test_the_plateau_policy_remembers(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of two steps, stopped within the sixth and at the end of the ninth: the rate and its patience go on."""
    monkeypatch.setattr("train.run.schedule.Schedule.THRESHOLD", 0.9)  # so that no epoch counts as better
    options = "--lr_policy plateau --max_dataset_size 2 --n_epochs 6 --n_epochs_decay 4"
    assert main(command(data, tmp_path / "whole", options)) == 0
    assert main(command(data, tmp_path / "parts", f"{options} --max_steps 11")) == 0
    for steps in (18, 20):
        assert main(["--checkpoints_dir", str(tmp_path / "parts"), "--continue_train", "--max_steps", str(steps)]) == 0
    whole, parts = result(tmp_path / "whole"), result(tmp_path / "parts")
    assert [line["lr"] for line in whole["metrics"].values()] == pytest.approx([0.001] * 14 + [0.0002] * 6)
    for part in ("metrics", "state"):
        assert_same({part: parts[part]}, {part: whole[part]})


def test_a_run_that_was_killed_before_its_first_save_starts_again(
    data: Path, tmp_path: Path, undisturbed: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What it left behind is neither taken for a run nor mixed into the next one."""
    assert main(command(data, tmp_path, "--max_steps 7")) == 0  # leaves a picture of step 7, which is not due
    (tmp_path / "run" / "latest.npz").unlink()
    assert main(command(data, tmp_path, "--continue_train")) == 2
    assert "'run' was stopped before it was first saved; start it without --continue_train" in capsys.readouterr().err
    assert main(command(data, tmp_path)) == 0
    assert_same(result(tmp_path), undisturbed)


def test_a_run_may_move(
    data: Path, tmp_path: Path, undisturbed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder and its data elsewhere, threads and cadence changed: still the same run."""
    assert main(command(data, tmp_path / "old", "--max_steps 7")) == 0
    (tmp_path / "old").rename(tmp_path / "checkpoints")
    (tmp_path / "data").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    assert main(["--continue_train", "--dataroot", "data", "--max_steps", "0", "--num_threads", "1"]) == 0
    assert not (tmp_path / "old").exists()
    assert_same(result(tmp_path / "checkpoints"), undisturbed)


@pytest.mark.parametrize("older", [False, True])
def test_pictures_that_were_taken_out(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], older: bool
) -> None:
    """Stopped at place 4 of an epoch of 5; then there are 3 pictures, and no place 4: the next epoch begins."""
    shutil.copytree(data, tmp_path / "data")
    line = command(tmp_path / "data", tmp_path)
    assert main([*line, "--max_steps", "4"]) == 0
    for name in ("trainA/trainA1.png", "trainA/trainA4.png", "trainB/trainB0.png"):
        (tmp_path / "data" / name).unlink()
    if older:  # did not say how many there were
        state = checkpoint.load(tmp_path / "run" / "latest.npz")
        del state["run"]["images"]
        checkpoint.save(tmp_path / "run" / "latest.npz", state)
    capsys.readouterr()
    assert main([*line, "--continue_train", "--max_steps", "8"]) == 0
    were = "more images" if older else "5 images of A and 4 of B"
    assert f"{were} when it was saved, 3 and 3 now; epoch 2 begins" in capsys.readouterr().err
    places = [(line["step"], line["epoch"]) for line in result(tmp_path)["metrics"].values()]
    assert places == [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (7, 2), (8, 3)]


def test_another_learning_rate(data: Path, tmp_path: Path) -> None:
    """Which is what a loss that is no number asks for: from here on, in the schedule that goes on."""
    assert main(command(data, tmp_path, "--max_steps 4")) == 0
    assert main(["--checkpoints_dir", str(tmp_path), "--continue_train", "--max_steps", "16", "--lr", "0.0003"]) == 0
    rates = [line["lr"] for line in result(tmp_path)["metrics"].values()]
    assert rates == pytest.approx([0.001] * 4 + [0.0003] * 6 + [0.0002] * 5 + [0.0001])


def test_the_history_is_on_disk_before_the_state(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed right after a save, a run must not lack the lines of the steps that were saved."""
    seen = []

    def save(path: Path, state: Any) -> None:
        seen.append(state["run"]["step"])
        assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == seen[-1]

    monkeypatch.setattr(checkpoint, "save", save)
    assert main(command(data, tmp_path, "--save_epoch_freq 1 --save_latest_freq 3 --max_steps 8")) == 0
    assert seen == [3, 5, 6, 8]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_say_how_to_go_on(
    data: Path, tmp_path: Path, undisturbed: dict[str, Any], number: signal.Signals
) -> None:
    """The real command, stopped once by a real signal, then by the printed command brought to its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "train.cyclegan", *command(data, tmp_path / "my runs", "--print_freq 1")],
        cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    while not (line := process.stderr.readline()).startswith("step 2/20"):
        assert line, process.communicate()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "stopping after this step" in err and "Traceback" not in err
    assert "everything is saved. To go on:" in out
    words = shlex.split(out.strip().splitlines()[-1])
    assert words[:3] == ["python", "-m", "train.cyclegan"] and str(tmp_path / "my runs") in words
    assert (tmp_path / "my runs" / "run" / "report.html").exists()
    assert main(words[3:]) == 0
    assert_same(result(tmp_path / "my runs"), undisturbed)
