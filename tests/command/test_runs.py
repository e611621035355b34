"""Runs from the command line: names, choices, losses that are no numbers, Ctrl-C."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.command.typed import TINY, picture, refused, run
from train.config.settings import Config
from train.cyclegan import CycleGAN, main
from train.errors import NonFiniteLoss
from train.files import checkpoint
from train.report.page import write_report
from train.run import command, display

ROOT = Path(__file__).resolve().parent.parent.parent


def test_names_of_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("data", "data-2"):
        assert run(f"--dataroot {root}/")[0] == 0
        assert Path("checkpoints", name, "latest.npz").exists()
    assert run("--name 'x --max_dataset_size 3")[0] == 0  # odd, but a folder name
    capsys.readouterr()
    error = refused("--name data", capsys)
    assert "checkpoints/data already holds a run; add --continue_train" in error
    error = refused("--continue_train --name dat", capsys)
    assert "there is no run 'dat'; checkpoints holds 'x, data, data-2" in error
    assert "which run?" in refused("--continue_train", capsys)


def test_a_run_on_the_built_in_scenes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The newcomer's run, shortened: what it says, and what it leaves."""
    monkeypatch.setattr(display, "write_report", write_report)
    assert run("--max_steps 1")[0] == 0
    out = capsys.readouterr().out
    folder = Path("checkpoints/scenes")
    for words in (
        "run      scenes, on cpu",
        "100 images of A, 100 of B",
        "steps    1, batch 1, 24 pixels",
        "A → B",
        "B → A",
    ):
        assert words in out
    for row in ("this model", "untouched input", "mean image"):
        assert out.count(row) >= 2
    for file in ("report.html", "samples/step_000001.png", "latest.npz"):
        assert str(folder / file) in out and (folder / file).stat().st_size > 0
    assert json.loads((folder / "scores.json").read_text())["step"] == 1
    saved = json.loads((folder / "config.json").read_text())
    assert saved.keys() == {field.name for field in dataclasses.fields(Config)} and saved["device"] == "cpu"
    with Image.open(folder / "samples" / "step_000001.png") as grid:
        assert min(grid.size) > 200
    assert (folder / "report.html").read_text().count("<figure data-step") == 2  # before and after


@pytest.mark.parametrize(
    "options",
    [
        "--preprocess resize_and_crop --load_size 28 --lr_policy step --gan_mode vanilla --init_type xavier",
        "--preprocess crop --lr_policy plateau --gan_mode hinge --netD pixel --init_type kaiming",
        "--preprocess scale_width --lr_policy cosine --upsample nearest --netD n_layers --n_layers_D 1",
        "--preprocess scale_width_and_crop --upsample bilinear --init_type orthogonal --serial_batches --no_flip",
        "--preprocess none --direction BtoA --pool_size 0 --lambda_identity 0",
        "--batch_size 2 --input_nc 1 --output_nc 1 --max_dataset_size 1",
        "--batch_size 2 --num_threads 0 --input_nc 1 --lambda_identity 0 --lr_policy linear",
        "--netG unet_128 --ngf 1 --load_size 128 --crop_size 128 --max_steps 1",
    ],
)
def test_every_choice_trains(root: Path, options: str) -> None:
    assert run(f"--dataroot {root} --n_epochs 1 --n_epochs_decay 1 {options}")[0] == 0
    lines = [json.loads(line) for line in Path("checkpoints/data/metrics.jsonl").read_text().splitlines()]
    assert len(lines) == (1 if "max_steps 1" in options else 2)
    assert all(isinstance(line[name], float) for line in lines for name in ("D_A", "G_A", "cycle_A", "idt_A", "lr"))


def test_direction_swaps_the_domains(root: Path) -> None:
    """BtoA is the same run with the two folders' names swapped, to the bit."""
    swapped = root.parent / "swapped"
    swapped.mkdir()
    (swapped / "trainA").symlink_to(root / "trainB")
    (swapped / "trainB").symlink_to(root / "trainA")
    assert run(f"--dataroot {root} --direction BtoA --name one")[0] == run(f"--dataroot {swapped} --name two")[0] == 0
    one, two = (checkpoint.load(f"checkpoints/{name}/latest.npz")["model"]["networks"] for name in ("one", "two"))
    assert all(np.array_equal(one[net][key], two[net][key]) for net in one for key in one[net])


@pytest.mark.parametrize(
    "mode, said", [("L", "grayscale"), ("RGBA", "transparency"), ("P", "palette"), ("I;16", "16-bit")]
)
def test_other_modes_are_converted_and_stated(
    tmp_path: Path, mode: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("trainA/0.png", "trainA/1.png", "trainB/0.png"):
        picture(tmp_path / "data" / name, mode if "A" in name else "RGB")
    with caplog.at_level(logging.WARNING):
        assert run(f"--dataroot {tmp_path / 'data'}")[0] == 0
    assert said in caplog.text and "2 of 2 images in trainA" in caplog.text


# -- losses that are no numbers


class Spoilt(CycleGAN):
    """Its third step meets a loss that is not a number."""

    count = 0

    def generator_losses(self, d: Any) -> Any:
        losses = yield from super().generator_losses(d)
        if "cycle_B" in losses:
            self.count += 1
            if self.count == 3:
                losses["cycle_B"] = losses["cycle_B"] * float("nan")
        return losses


def test_nan_names_step_loss_and_images_and_keeps_the_last_good_state(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*TINY.split(), "--dataroot", str(root), "--max_steps", "9", "--save_latest_freq", "2"]
    assert command.run_command(Spoilt, line) == 2
    err = capsys.readouterr().err
    assert "step 3: loss cycle_B is nan. First seen in a loss itself" in err
    assert "a0.png" in err or "a1.png" in err or "a2.png" in err
    assert "the last good state is kept in checkpoints/data/latest.npz" in err and "smaller --lr" in err
    assert checkpoint.load("checkpoints/data/latest.npz")["run"]["step"] == 2
    assert main(["--continue_train", "--max_steps", "4"]) == 0


def test_a_hopeless_learning_rate_in_a_real_process(tmp_path: Path, root: Path) -> None:
    """As a module of its own the command once had a NonFiniteLoss of its own too."""
    done = subprocess.run(
        [sys.executable, "-m", "train.cyclegan", *TINY.split(), "--dataroot", root, "--lr", "1e30", "--checkpoints_dir", tmp_path],
        check=False, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    assert "error: step 2: loss" in done.stderr and "no state had been saved yet" in done.stderr
    assert "First seen in the output of" in done.stderr


def test_the_error_of_the_step_is_a_floating_point_error() -> None:
    assert issubclass(NonFiniteLoss, FloatingPointError)


def test_ctrl_c_outside_the_loop_is_quiet(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "finish", interrupted)
    status, err = run(f"--dataroot {root}", capsys)
    assert status == 130 and "stopped at once" in err
    assert Path("checkpoints/data/latest.npz").exists()
