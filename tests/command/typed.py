"""`python -m train.cyclegan` as a newcomer and as a clumsy user types it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train.cyclegan import main

TINY = "--preset tiny --device cpu --load_size 24 --crop_size 24 --ngf 2 --ndf 2 --n_blocks 1 --max_steps 2"
RNG = np.random.default_rng(0)


def picture(path: Path | str, mode: str = "RGB", size: tuple[int, int] = (30, 26)) -> Path:
    """A random image file of a mode (I;16 is 16-bit gray)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), np.uint8))
    if mode == "I;16":
        noise = Image.fromarray(RNG.integers(0, 65536, (size[1], size[0]), np.uint16))
    noise.convert(mode).save(path)
    return path


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
