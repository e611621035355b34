"""Data that cannot be trained on is refused before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.command.typed import picture, refused, run
from train.cyclegan import main
from train.files import checkpoint


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
