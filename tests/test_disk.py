"""What is kept and for how long: older checkpoints go on, old epochs make room, and a full disk is known beforehand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.run_result import assert_same
from tests.test_resume import command, result
from train.cyclegan import main
from train.files import atomic
from train.files.checkpoint import load
from train.run import disk, display, trainer

OLD = Path(__file__).parent / "data" / "checkpoint_v1.npz"
# What the program that wrote it, version 1, recorded when it went on from there.
WANTED = {
    8: dict(D_A=0.5603429675, G_A=0.9513593912, cycle_A=3.2640647888, idt_B=1.6412805319),
    9: dict(D_A=0.4623674750, G_A=0.8664171100, cycle_A=3.3984942436, idt_B=1.6952186823),
}
COMFORTS = "--ema 0.9 --accumulate 2 --batch_size 2 --cache_mb 1 --watch_freq 1 --preprocess crop --max_steps 8"


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports have tests of their own."""
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """5 pictures of A, 4 of B: those on which the old checkpoint was trained."""
    rng = np.random.default_rng(0)
    for folder, count in (("trainA", 5), ("trainB", 4)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(rng.integers(0, 256, (32, 36, 3), np.uint8))
            image.save(tmp_path / "data" / folder / f"{folder}{i}.png")
    return tmp_path / "data"


def test_a_checkpoint_of_version_1_goes_on(data: Path, tmp_path: Path) -> None:
    """With the losses that its own program had: near, not equal, for another machine rounds otherwise."""
    (tmp_path / "runs" / "old").mkdir(parents=True)
    shutil.copy(OLD, tmp_path / "runs" / "old" / "latest.npz")
    line = [
        "--continue_train",
        "--checkpoints_dir",
        str(tmp_path / "runs"),
        "--dataroot",
        str(data),
        "--max_steps",
        "9",
    ]
    assert main([*line, "--watch_freq", "0"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "runs" / "old" / "metrics.jsonl").read_text().splitlines()]
    for record in lines:
        for name, value in WANTED[record["step"]].items():
            assert record[name] == pytest.approx(value, rel=1e-3), (record["step"], name)
    again = load(tmp_path / "runs" / "old" / "latest.npz")
    assert again["program"] == "train.cyclegan" and again["run"]["step"] == 9
    with np.load(tmp_path / "runs" / "old" / "latest.npz") as file:
        assert "model/networks/gen_ab/model.1.weight" in file.files


def test_all_comforts_together_are_stopped_without_a_trace(data: Path, tmp_path: Path) -> None:
    """Averages, parts, a cache and looks, with pools; stopped after every second step."""
    assert main(command(data, tmp_path / "one", COMFORTS)) == 0
    assert main(command(data, tmp_path / "two", COMFORTS + " --max_steps 1 --cache_mb 0")) == 0
    for steps in (3, 4, 6, 8):
        assert main(command(data, tmp_path / "two", COMFORTS + f" --max_steps {steps} --continue_train")) == 0
    for extra in (tmp_path / "two" / "run" / "samples").glob("*"):
        if not (tmp_path / "one" / "run" / "samples" / extra.name).exists():
            extra.unlink()  # the last pictures of the sittings in between
    assert_same(result(tmp_path / "two"), result(tmp_path / "one"))
    state = load(tmp_path / "one" / "run" / "latest.npz")
    assert state["model"]["averages"]["steps"] == 8 and len(state["model"]["pools"]["a"]["images"]) == 2
    live, shown = state["model"]["averages"]["live"]["gen_ab"], state["model"]["networks"]["gen_ab"]
    assert not np.array_equal(live["model.1.weight"], shown["model.1.weight"])


def test_old_epochs_make_room(data: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "run").mkdir(parents=True)
    (tmp_path / "out" / "run" / "epoch_mine.npz").write_text("not ours to remove")
    line = "--save_epoch_freq 1 --n_epochs 4 --n_epochs_decay 0 --max_dataset_size 1"
    assert main(command(data, tmp_path / "out", f"{line} --keep 2")) == 0
    kept = sorted(file.name for file in (tmp_path / "out" / "run").glob("epoch_*"))
    assert kept == ["epoch_003.npz", "epoch_004.npz", "epoch_mine.npz"]
    assert main(command(data, tmp_path / "all", line)) == 0
    assert len(list((tmp_path / "all" / "run").glob("epoch_*.npz"))) == 4


def test_a_disk_that_is_full_from_the_start(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is trained, and nothing written, where the first checkpoint would have no room."""
    monkeypatch.setattr(disk, "free_bytes", lambda folder: 20_000)
    assert main(command(data, tmp_path / "out")) == 2
    err = capsys.readouterr().err
    assert "a checkpoint of this run takes about 0 MB" not in err
    assert "but only 20 kB are free; make room, or choose another --checkpoints_dir" in err
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The state before stays, no byte of the next is written, and once there is room the run goes on to the same end."""
    assert main(command(data, tmp_path / "whole", "--max_steps 4")) == 0
    assert main(command(data, tmp_path / "out", "--max_steps 2")) == 0
    before = (tmp_path / "out" / "run" / "latest.npz").read_bytes()
    free: dict[str, Any] = {"bytes": 1e9}
    monkeypatch.setattr(atomic, "free_bytes", lambda folder: free["bytes"])
    step = trainer.Run.train_on
    monkeypatch.setattr(trainer.Run, "train_on", lambda self, batch: free.update(bytes=1000) or step(self, batch))
    capsys.readouterr()
    assert main(command(data, tmp_path / "out", "--max_steps 4 --continue_train")) == 2
    err = capsys.readouterr().err
    assert "latest.npz: cannot be written: No space left on device. It needs" in err
    assert "where 1,000 are free. The earlier file is untouched." in err
    assert (tmp_path / "out" / "run" / "latest.npz").read_bytes() == before
    monkeypatch.undo()
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)
    assert main(command(data, tmp_path / "out", "--max_steps 4 --continue_train")) == 0
    (tmp_path / "out" / "run" / "samples" / "step_000002.png").unlink()
    assert_same(result(tmp_path / "out"), result(tmp_path / "whole"))
