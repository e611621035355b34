"""Full disks, and checkpoints that cannot be continued: nothing is lost."""

from __future__ import annotations

import json
import re
import resource
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command.typed import refused, run
from train import convert
from train.cyclegan import main
from train.files import checkpoint


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Sets the size beyond which no file grows, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100, 1500, 3000, 20_000])
def test_a_full_disk_keeps_what_was_saved(
    root: Path, capsys: pytest.CaptureFixture[str], limit: Callable[[int], None], size: int
) -> None:
    """Whether the settings, the metrics, a sample or the checkpoint is what no longer fits."""
    assert run(f"--dataroot {root} --max_steps 6 --save_latest_freq 1 --sample_freq 3")[0] == 0
    latest = Path("checkpoints/data/latest.npz")
    before = latest.read_bytes()
    capsys.readouterr()
    limit(size)
    try:
        status = main(["--continue_train", "--max_steps", "12"])
    finally:
        limit(resource.RLIM_INFINITY)
    err = capsys.readouterr().err
    assert status == 2 and "Traceback" not in err and "File too large" in err and "make room" in err.lower()
    assert latest.read_bytes() == before
    assert not list(Path("checkpoints/data").glob(".*tmp"))
    assert main(["--continue_train", "--max_steps", "12"]) == 0
    steps = [json.loads(line)["step"] for line in Path("checkpoints/data/metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 13))


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def text(path: Path) -> None:
    path.write_text("weights")


def foreign_zip(path: Path) -> None:
    np.savez(path, weights=np.zeros(3))


def change(edit: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Replaces the state in a checkpoint by what `edit` makes of it."""

    def do(path: Path) -> None:
        checkpoint.save(path, edit(checkpoint.load(path)))

    return do


def without(*keys: str) -> Callable[[Path], None]:
    def edit(state: Any) -> Any:
        part = state
        for key in keys[:-1]:
            part = part[key]
        del part[keys[-1]]
        return state

    return change(edit)


def other(value: Any, *keys: str) -> Callable[[Path], None]:
    def edit(state: Any) -> Any:
        part = state
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        return state

    return change(edit)


@pytest.mark.parametrize(
    "spoil, said",
    [
        (shorten, "damaged or not a checkpoint"),
        (text, "damaged or not a checkpoint"),
        (foreign_zip, "not a checkpoint of this program"),
        (change(lambda state: [1, 2]), "not as this program writes it"),
        (change(lambda state: {"config": "yes"}), "not as this program writes it: config is a str"),
        (without("model"), "not one that this program can continue (KeyError: 'model')"),
        (without("model", "networks", "gen_ab", "model.1.weight"), "missing model.1.weight"),
        (other(np.zeros((2, 2)), "model", "networks", "disc_a", "model.0.weight"), "model.0.weight has shape (2, 2)"),
        (other([np.zeros(3)], "model", "optimizers", "g", "m"), "the saved moments m do not fit"),
        (other([3, "x"], "model", "optimizers", "d", "v"), "not one that this program can continue"),
        (other({}, "model", "pools", "a", "rng"), "not one that this program can continue"),
        (other("many", "run", "step"), "not as this program writes it: run/step is 'many'"),
        (other(4, "config", "ngf"), "ngf: saved 4, asked for 2"),
        (other("new", "config", "invented"), "invented: saved 'new', a setting that this version of the program"),
    ],
)
def test_checkpoints_that_cannot_be_continued(
    root: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], said: str
) -> None:
    assert run(f"--dataroot {root}")[0] == 0
    latest = Path("checkpoints/data/latest.npz")
    spoil(latest)
    files = {path: path.read_bytes() for path in Path("checkpoints").rglob("*") if path.is_file()}
    capsys.readouterr()
    error = refused("--continue_train --name data --max_steps 3", capsys)
    assert said in error, error
    assert {path: path.read_bytes() for path in files} == files


def test_other_settings_are_refused_and_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"--dataroot {root}")[0] == 0
    capsys.readouterr()
    error = refused(f"--dataroot {root} --continue_train --name data --ngf 3 --seed 1 --max_steps 3", capsys)
    for words in ("ngf: saved 2, asked for 3", "seed: saved 0, asked for 1", "--seed 0, --ngf 2"):
        assert words in error
    assert "train.convert" not in error  # whose networks would not fit
    same = f"--dataroot {root} --continue_train --name data --max_steps 3"  # the very same settings, typed again
    assert run(same)[0] == 0


def test_the_way_to_train_on_under_other_settings(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is told can be typed. A new learning rate needs none: it is free."""
    assert run(f"--dataroot {root}")[0] == 0
    capsys.readouterr()
    error = refused("--continue_train --crop_size 28 --load_size 28 --no_flip --max_steps 3", capsys)
    command = re.search(r"python -m train.convert (checkpoints/data --run NEW --.*)", error)
    assert command and "--crop_size 28" in command[1] and "--no_flip" in command[1]
    assert convert.main([*shlex.split(command[1]), "--load_size", "28"]) == 0
    config = checkpoint.load("checkpoints/NEW/latest.npz")["config"]
    assert config["crop_size"] == 28 and config["no_flip"] and config["ngf"] == 2
    assert main(["--continue_train", "--name", "data", "--lr", "0.0001", "--max_steps", "3"]) == 0
    err = capsys.readouterr().err
    assert "lr       0.001 until now, 0.0001 from here on" in err and "checkpoints/data --run NEW --lr 0.0001" in err
    lines = Path("checkpoints/data/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["lr"] for line in lines] == [0.001, 0.001, 0.0001]


def test_settings_are_checked_beside_the_saved_ones(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--load_size 24 alone is fine where the run crops 24, though the default crop is larger; 0 threads -1 never is."""
    assert run(f"--dataroot {root}")[0] == 0
    assert main(["--continue_train", "--max_steps", "3", "--load_size", "24"]) == 0
    capsys.readouterr()
    assert main(["--continue_train", "--max_steps", "4", "--num_threads", "-1"]) == 2
    assert "--num_threads is -1; wanted at least 0" in capsys.readouterr().err
