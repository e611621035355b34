"""From an image to a training image: the `--preprocess` modes.

| mode                 | resize                                            | then                    |
|----------------------|---------------------------------------------------|-------------------------|
| resize_and_crop      | to load_size x load_size                          | random crop_size square |
| crop                 | no                                                | random crop_size square |
| scale_width_and_crop | width to load_size, height at least crop_size     | random crop_size square |
| scale_width          | width to load_size, height at least crop_size, *  |                         |
| none                 | *                                                 |                         |

(*) both sides to the nearest multiple of 4, because the generator halves its picture twice and must come out where it
went in. Then the image is mirrored with probability 1/2, unless no_flip.
"""

from __future__ import annotations

import numpy as np

from train.config import Config
from train.images import resize


def preprocess(x: np.ndarray, config: Config, rng: np.random.Generator | None) -> np.ndarray:
    """[H,W,C] to the image that training (or, without rng, testing) sees.

    Without rng nothing is random: crops are centred, nothing is mirrored, and resize_and_crop resizes straight to
    crop_size, so that all of the image is seen.
    """
    height, width = x.shape[:2]
    if rng is None and config.preprocess == "resize_and_crop":
        return resize(x, config.crop_size, config.crop_size)
    x = resize(x, *resized(width, height, config))
    if "crop" in config.preprocess:
        room = x.shape[0] - config.crop_size, x.shape[1] - config.crop_size
        top, left = (room[0] // 2, room[1] // 2) if rng is None else rng.integers(0, room, endpoint=True)
        x = x[top : top + config.crop_size, left : left + config.crop_size]
    if rng is not None and not config.no_flip and rng.random() < 0.5:
        x = x[:, ::-1]
    return np.ascontiguousarray(x)


def resized(width: int, height: int, config: Config) -> tuple[int, int]:
    """(width, height) after the resizing step, before any crop."""
    if config.preprocess == "resize_and_crop":
        return config.load_size, config.load_size
    if config.preprocess.startswith("scale_width"):
        width, height = config.load_size, max(config.load_size * height // width, config.crop_size)
    if "crop" not in config.preprocess:
        width, height = max(4, round(width / 4) * 4), max(4, round(height / 4) * 4)
    return width, height


def final_size(width: int, height: int, config: Config) -> tuple[int, int]:
    """(width, height) that `preprocess` makes of an image of this size."""
    return (config.crop_size, config.crop_size) if "crop" in config.preprocess else resized(width, height, config)
