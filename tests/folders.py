"""Folders of small pictures for the tests of data sets, and the settings that go with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from train.config.settings import Config


def write(path: Path, width: int = 16, height: int = 16, seed: int = 0, mode: str = "RGB") -> None:
    """A picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def three_and_five(folder: Path) -> Path:
    """Three images in trainA, five in trainB."""
    for i in range(3):
        write(folder / "trainA" / f"a{i}.png", seed=i)
    for i in range(5):
        write(folder / "trainB" / f"b{i}.png", seed=10 + i)
    return folder


def config(root: str | Path = "", **changes: Any) -> Config:
    """Crops of 12 from 16 pixels."""
    return Config(dataroot=str(root), **{"load_size": 16, "crop_size": 12, **changes})
