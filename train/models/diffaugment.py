"""DiffAugment: what the discriminators are shown, real and fake, is changed at random, so that few images are not learnt by heart.

Gradients pass through to the generators, who therefore need not paint what the changes look like. Zhao, Liu, Lin, Zhu and Han
2020, https://arxiv.org/abs/2006.10738; as in the authors' code each picture of a batch is changed by draws of its own:

    color        x + b, b in [-0.5, 0.5]; then saturation times s in [0, 2], around each pixel's mean over channels; then contrast
                 times c in [0.5, 1.5], around the picture's mean
    translation  moved by up to an eighth of each side; what comes in from outside is 0
    cutout       a square of half the sides, centred anywhere, is set to 0
"""

from __future__ import annotations

import numpy as np

from autograd import Tensor
from autograd.ops import concat

SHIFT, CUT = 0.125, 0.5  # of each side


def diffaugment(x: Tensor, policy: str, rng: np.random.Generator) -> Tensor:
    """Pictures [N,H,W,C] changed as `policy`, such as "color,translation,cutout", says, in its order."""
    for name in policy.split(","):
        x = AUGMENTATIONS[name](x, rng)
    return x


def color(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness, saturation and contrast."""
    n, h, w, c = x.shape
    bright, saturated, contrast = rng.random((3, n, 1, 1, 1))
    x = x + (bright - 0.5)
    grey = x.sum(axis=3, keepdims=True) * (1 / c)  # [N,H,W,1]
    x = (x - grey) * (2 * saturated) + grey
    mean = x.sum(axis=(1, 2, 3), keepdims=True) * (1 / (h * w * c))  # [N,1,1,1]
    return (x - mean) * (contrast + 0.5) + mean


def translation(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Each picture moved down and right by its own draws."""
    n, h, w, _ = x.shape
    down, right = (
        rng.integers(-most, most, n, endpoint=True).tolist() for most in (portion(h, SHIFT), portion(w, SHIFT))
    )
    return joined([moved(moved(x[i : i + 1], 1, down[i]), 2, right[i]) for i in range(n)], axis=0)


def cutout(x: Tensor, rng: np.random.Generator) -> Tensor:
    """A square of each picture set to 0; at an edge a part of it is outside."""
    n, h, w, _ = x.shape
    keep = np.ones((n, h, w, 1), x.dtype)
    rows, columns = (hidden(side, n, rng) for side in (h, w))
    for i in range(n):
        keep[i, rows[i], columns[i]] = 0
    return x * keep


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}


def portion(side: int, share: float) -> int:
    """A share of a side, in whole pixels."""
    return int(side * share + 0.5)


def hidden(side: int, count: int, rng: np.random.Generator) -> list[slice]:
    """Of `count` pictures the pixels of a side that a cut hides."""
    cut = portion(side, CUT)
    starts = rng.integers(0, side + 1 - cut % 2, count) - cut // 2
    return [slice(min(max(0, start), side - 1), max(1, min(side, start + cut))) for start in starts.tolist()]


def moved(x: Tensor, axis: int, by: int) -> Tensor:
    """x moved along an axis by so many pixels; what comes in is 0."""
    if by == 0:
        return x
    kept = slice(None, -by) if by > 0 else slice(-by, None)
    part = x[(slice(None),) * axis + (kept,)]
    shape = list(x.shape)
    shape[axis] = abs(by)
    zeros = Tensor(x.device.xp.zeros(shape, x.dtype), device=x.device)
    return joined([zeros, part] if by > 0 else [part, zeros], axis)


def joined(parts: list[Tensor], axis: int) -> Tensor:
    """The parts in a row."""
    return concat(*parts, axis=axis) if len(parts) > 1 else parts[0]
