"""A picture hidden in another: how faint it may be, and what destroys it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from lessons.parts import Part, Pictures, Table
from train.data.builtin.scenes import scene

SIZE = 64
STRENGTHS = (0.002, 0.01, 0.03, 0.1)


def secret() -> np.ndarray:
    """What is hidden: +1 and -1 in a pattern of 8×8 blocks [SIZE,SIZE,1]."""
    signs = np.random.default_rng(4).choice([-1.0, 1.0], (8, 8))
    return np.kron(signs, np.ones((8, 8)))[:, :, None]


def mask() -> np.ndarray:
    """A fine checkerboard that both sides know: neighbours change by opposite amounts, so the eye averages them away."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.where((x + y) % 2, 1.0, -1.0)[:, :, None]


def read(picture: np.ndarray) -> np.ndarray:
    """The sign of each block, from what lies along the mask [8,8]."""
    along = (picture * mask()).mean(axis=2).reshape(8, 8, 8, 8).mean(axis=(1, 3))
    return np.sign(along)


def right(picture: np.ndarray) -> float:
    """The share of the 64 bits that is read rightly."""
    return float((read(picture) == secret()[::8, ::8, 0]).mean())


def rounded(picture: np.ndarray) -> np.ndarray:
    """As a file of 8 bits keeps it."""
    return np.round((picture + 1) * 127.5).clip(0, 255) / 127.5 - 1


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """As a JPEG keeps it."""
    buffer = io.BytesIO()
    Image.fromarray(((picture + 1) * 127.5).round().clip(0, 255).astype(np.uint8)).save(buffer, "jpeg", quality=quality)
    return np.asarray(Image.open(buffer), np.float64) / 127.5 - 1


def show() -> list[Part]:
    """A table and pictures."""
    plain = scene("A", 5, SIZE).astype(np.float64).clip(-0.9, 0.9)
    rows, pictures = [], {"without": plain}
    for strength in STRENGTHS:
        hidden = plain + strength * secret() * mask()
        pictures[f"strength {strength:g}"] = hidden
        rows.append(
            (
                f"{strength:g}",
                *(f"{right(p):.0%}" for p in (hidden, rounded(hidden), jpeg(hidden, 95), jpeg(hidden, 75))),
            )
        )
    return [
        Table("Of 64 hidden bits, read rightly", ("strength (picture: -1 … 1)", "as it is", "8 bits", "JPEG 95", "JPEG 75"), rows, "Half is what guessing gives. One grey level of a file is 0.008."),
        Pictures("The pictures", pictures, low=-1, high=1, scale=3),
    ]  # fmt: skip
