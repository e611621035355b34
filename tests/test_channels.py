"""Pictures of any number of channels: trained on, scored, shown and translated; and what does not fit, named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train import translate
from train.cyclegan import main

BANDS = "--preset tiny --load_size 24 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 1 --max_steps 2 --lambda_identity 0"


@pytest.fixture(autouse=True)
def bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five bands as A, two as B."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder, channels in (("trainA", 5), ("trainB", 2), ("testA", 5), ("testB", 2)):
        Path(folder).mkdir()
        for i in range(3):
            np.save(Path(folder, f"{i}.npy"), rng.uniform(-1, 1, (24, 24, channels)).astype(np.float32))


def run(options: str) -> int:
    return main([*BANDS.split(), "--dataroot", ".", "--name", "bands", *options.split()])


def test_arrays_of_many_channels_are_trained_on_and_translated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--input_nc 5 --output_nc 2") == 0
    seen = capsys.readouterr()
    assert "this model" in seen.out and "read as" not in seen.out + seen.err
    assert Path("checkpoints/bands/report.html").exists() and list(Path("checkpoints/bands").rglob("*.png"))
    status = translate.main(["--weights", "checkpoints/bands", "--input", "testA", "--output", "out"])
    assert status == 0 and np.load("out/0.npy").shape == (24, 24, 2)


def test_files_with_other_channels_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (24, 24)).save("trainA/photo.png")
    np.save("trainB/three.npy", np.zeros((24, 24, 3), np.float32))
    assert run("--input_nc 5 --output_nc 2") == 2
    error = capsys.readouterr().err
    assert "photo.png: an image has 1 (gray) to 4 channels, 5 were asked for" in error
    assert "three.npy: has 3 channels, 2 were asked for" in error
    assert not Path("checkpoints").exists()


def test_built_in_pictures_are_gray_or_rgb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--input_nc", "4", "--lambda_identity", "0"]) == 2
    assert "built-in pictures have 1 channel (gray) or 3, 4 were asked for" in capsys.readouterr().err
