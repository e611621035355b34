"""`python -m train.cyclegan` as a newcomer and as a clumsy user types it."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from train import command
from train.config import Config
from train.cyclegan import CycleGAN, main
from train.errors import NonFiniteLoss
from train.report.page import write_report
from train.run import checkpoint, trainer

ROOT = Path(__file__).resolve().parent.parent
TINY = "--preset tiny --device cpu --load_size 24 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 1 --max_steps 2"
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, and without reports, which have tests of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trainer, "write_report", lambda *args, **kwargs: None)


def picture(path: Path | str, mode: str = "RGB", size: tuple[int, int] = (30, 26)) -> Path:
    """A random image file of a mode (I;16 is 16-bit gray)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), np.uint8))
    if mode == "I;16":
        noise = Image.fromarray(RNG.integers(0, 65536, (size[1], size[0]), np.uint16))
    noise.convert(mode).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sound data root: 3 images of A, 2 of B, no test folders."""
    for name in ("trainA/a0.png", "trainA/a1.png", "trainA/a2.png", "trainB/b0.png", "trainB/b1.png"):
        picture(tmp_path / "data" / name)
    return tmp_path / "data"


def run(line: str, capsys: pytest.CaptureFixture[str] | None = None) -> tuple[int, str]:
    """Exit status of the command, and what it wrote to stderr."""
    status = main([*TINY.split(), *line.split()])
    return status, capsys.readouterr().err if capsys else ""


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one error of a command that must be refused before anything is written."""
    before = sorted(Path.cwd().rglob("*"))
    status, err = run(line, capsys)
    assert status == 2 and err.startswith("error: ") and err.count("error:") == 1 and "Traceback" not in err, err
    assert sorted(Path.cwd().rglob("*")) == before, "something was written"
    return err


# -- bad input


def break_nothing(root: Path) -> None: ...


def remove_b(root: Path) -> None:
    for file in (root / "trainB").iterdir():
        file.unlink()
    (root / "trainB").rmdir()


def empty_a(root: Path) -> None:
    for file in (root / "trainA").iterdir():
        file.unlink()
    (root / "trainA" / "notes.txt").write_text("no image")


def text_as_png(root: Path) -> None:
    (root / "trainA" / "a1.png").write_text("not a picture")


def empty_file(root: Path) -> None:
    (root / "trainB" / "b1.png").write_bytes(b"")


def animated(root: Path) -> None:
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "blue")]
    frames[0].save(root / "trainA" / "moving.webp", save_all=True, append_images=frames[1:])


def small_image(root: Path) -> None:
    picture(root / "trainB" / "small.png", size=(40, 23))


def bomb(root: Path) -> None:
    Image.new("1", (15000, 13000)).save(root / "trainA" / "bomb.png")


def broken_test_image(root: Path) -> None:
    picture(root / "testB" / "t.png")
    (root / "testA").mkdir()
    (root / "testA" / "t.png").write_bytes(b"\x89PNG")


@pytest.mark.parametrize(
    "spoil, options, said",
    [
        (remove_b, "", ["trainB: there is no such folder"]),
        (empty_a, "", ["trainA: holds no images"]),
        (text_as_png, "", ["trainA/a1.png"]),
        (empty_file, "", ["trainB/b1.png"]),
        (animated, "", ["trainA/moving.webp"]),
        (bomb, "", ["trainA/bomb.png"]),
        (small_image, "--preprocess crop", ["trainB/small.png: 40x23 pixels, smaller than --crop_size 24"]),
        (broken_test_image, "", ["testA/t.png"]),
        (break_nothing, "--input_nc 5 --output_nc 5", ["an image has 1 (gray) to 4 channels, 5 were asked for"]),
        (break_nothing, "--crop_size 22 --load_size 22", ["--crop_size 22: 22x22", "multiples of 4"]),
        (break_nothing, "--crop_size 20", ["--crop_size 20", "sides of at least 24"]),
        (break_nothing, "--netG unet_128", ["24x24", "--netG unet_128 wants", "multiples of 128"]),
        (break_nothing, "--netD n_layers --n_layers_D 5", ["at least 96"]),
        (
            break_nothing,
            "--preprocess none --netD n_layers --n_layers_D 4",
            ["png, with --preprocess none: 32x24", "at least 48"],
        ),
        (break_nothing, "--name a/b", ["--name 'a/b' must name one folder"]),
        (break_nothing, "--name ..", ["--name '..' must name one folder"]),
        (break_nothing, "--crop-size 24", ["no option --crop-size; did you mean --crop_size?"]),
        (break_nothing, "--gan_mode wgan", ["--gan_mode", "'wgan'", "lsgan"]),
        (break_nothing, "--device tpu", ["--device", "'tpu'"]),
        (break_nothing, "--continue_train", ["--continue_train: which run? Give --name; checkpoints holds no run yet"]),
        (break_nothing, "--continue_train --name x", ["there is no run 'x'"]),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    root: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], options: str, said: list[str]
) -> None:
    spoil(root)
    error = refused(f"--dataroot {root} {options}", capsys)
    assert all(words in error for words in said), error


def test_a_data_root_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused("--dataroot nowhere", capsys)
    assert "nowhere/trainA: there is no such folder" in error and "folders trainA and trainB" in error


def test_batches_need_one_size(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture(root / "trainA" / "wide.png", size=(60, 30))
    assert "--batch_size 2" in refused(f"--dataroot {root} --batch_size 2 --preprocess none", capsys)
    assert run(f"--dataroot {root} --batch_size 2")[0] == 0


@pytest.mark.parametrize("where", ["file/below", "file"])
def test_a_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str], where: str) -> None:
    Path("file").write_text("in the way")
    error = refused(f"--checkpoints_dir {where}", capsys)
    assert "file" in error and "another --checkpoints_dir" in error


def test_an_image_that_breaks_while_training(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A header may be whole where the rest is not. What was done before is kept, and the command to go on is said."""
    broken = picture(root / "trainA" / "a4.png")  # not among the three that are shown before the first step
    picture(root / "trainA" / "a3.png")
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    for seed in range(9):  # until one does not begin with it
        status, err = run(f"--dataroot {root} --max_steps 5 --sample_freq 50 --name s{seed} --seed {seed}", capsys)
        assert status == 2 and "trainA/a4.png" in err and "Traceback" not in err
        if "is saved" in err:
            break
    assert f"go on with:\n  python -m train.cyclegan --continue_train --name s{seed}" in err
    done = checkpoint.load(f"checkpoints/s{seed}/latest.npz")["run"]["step"]
    assert done >= 1 and f"Step {done} is saved" in err
    broken.write_bytes(whole)
    assert main(["--continue_train", "--name", f"s{seed}"]) == 0


# -- runs and their names


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
    monkeypatch.setattr(trainer, "write_report", write_report)
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

    def generator_losses(self, *ways: Any) -> Any:
        losses = super().generator_losses(*ways)
        if "cycle_B" in losses:
            self.count += 1
            if self.count == 3:
                losses["cycle_B"] = losses["cycle_B"] * float("nan")
        return losses


def test_nan_names_step_loss_and_images_and_keeps_the_last_good_state(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [*TINY.split(), "--dataroot", str(root), "--max_steps", "9", "--save_latest_freq", "2"]
    assert command.run_command(Spoilt, "train.cyclegan", None, line) == 2
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


# -- disks and checkpoints


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
        (change(lambda state: [1, 2]), "not one that this program can continue"),
        (change(lambda state: {"config": "yes"}), "not one that this program can continue"),
        (without("model"), "not one that this program can continue (KeyError: 'model')"),
        (without("model", "networks", "gen_ab", "model.1.weight"), "missing model.1.weight"),
        (other(np.zeros((2, 2)), "model", "networks", "disc_a", "model.0.weight"), "model.0.weight has shape (2, 2)"),
        (other([np.zeros(3)], "model", "optimizers", "g", "m"), "the saved moments m do not fit"),
        (other([3, "x"], "model", "optimizers", "d", "v"), "not one that this program can continue"),
        (other({}, "model", "pools", "a", "rng"), "not one that this program can continue"),
        (other("many", "run", "step"), "not one that this program can continue"),
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
    same = f"--dataroot {root} --continue_train --name data --max_steps 3"  # the very same settings, typed again
    assert run(same)[0] == 0


def test_settings_are_checked_beside_the_saved_ones(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--load_size 24 alone is fine where the run crops 24, though the default crop is larger; 0 threads -1 never is."""
    assert run(f"--dataroot {root}")[0] == 0
    assert main(["--continue_train", "--max_steps", "3", "--load_size", "24"]) == 0
    capsys.readouterr()
    assert main(["--continue_train", "--max_steps", "4", "--num_threads", "-1"]) == 2
    assert "--num_threads is -1; wanted at least 0" in capsys.readouterr().err


def test_ctrl_c_outside_the_loop_is_quiet(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.Run, "finish", interrupted)
    status, err = run(f"--dataroot {root}", capsys)
    assert status == 130 and "stopped at once" in err
    assert Path("checkpoints/data/latest.npz").exists()
