"""From an image to a training image: the `--preprocess` modes.

| mode                 | resize                                              | then                     |
|----------------------|-----------------------------------------------------|--------------------------|
| resize_and_crop      | to load_size                                        | random crop of crop_size |
| crop                 | no                                                  | random crop of crop_size |
| scale_width_and_crop | width to load_size, height at least crop_size's     | random crop of crop_size |
| scale_width          | width to load_size, height at least crop_size's, *  |                          |
| none                 | *                                                   |                          |

Both sizes are the side of a square, or WIDTHxHEIGHT.

(*) both sides to the nearest multiple of 4, because the generator halves its picture twice and must come out where it
went in. Then the image is mirrored with probability 1/2, unless no_flip.
"""

from __future__ import annotations

import numpy as np

from train.config import sides
from train.config.settings import Config
from train.data.pixels import resize


def preprocess(x: np.ndarray, config: Config, rng: np.random.Generator | None) -> np.ndarray:
    """[H,W,C] to the image that training (or, without rng, testing) sees.

    Without rng nothing is random: crops are centred, nothing is mirrored, and resize_and_crop resizes straight to
    crop_size, so that all of the image is seen.
    """
    height, width = x.shape[:2]
    crop = sides(config.crop_size)
    if rng is None and config.preprocess == "resize_and_crop":
        return resize(x, *crop)
    x = resize(x, *resized(width, height, config))
    if "crop" in config.preprocess:
        room = x.shape[0] - crop[1], x.shape[1] - crop[0]
        top, left = (room[0] // 2, room[1] // 2) if rng is None else rng.integers(0, room, endpoint=True)
        x = x[top : top + crop[1], left : left + crop[0]]
    if rng is not None and not config.no_flip and rng.random() < 0.5:
        x = x[:, ::-1]
    return np.ascontiguousarray(x)


def resized(width: int, height: int, config: Config) -> tuple[int, int]:
    """(width, height) after the resizing step, before any crop."""
    if config.preprocess == "resize_and_crop":
        return sides(config.load_size)
    if config.preprocess.startswith("scale_width"):
        wide = sides(config.load_size)[0]
        width, height = wide, max(wide * height // width, sides(config.crop_size)[1])
    if "crop" not in config.preprocess:
        width, height = max(4, round(width / 4) * 4), max(4, round(height / 4) * 4)
    return width, height


def final_size(width: int, height: int, config: Config) -> tuple[int, int]:
    """(width, height) that `preprocess` makes of an image of this size."""
    return sides(config.crop_size) if "crop" in config.preprocess else resized(width, height, config)
