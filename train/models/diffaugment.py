"""DiffAugment: what the discriminators are shown, real and fake, is changed at random, so that few images are not learnt by heart.

Gradients pass through to the generators, who therefore need not paint what the changes look like. Zhao, Liu, Lin, Zhu and Han
2020, https://arxiv.org/abs/2006.10738; as in the authors' code each picture of a batch is changed by draws of its own:

    color        x + b, b in [-0.5, 0.5]; then saturation times s in [0, 2], around each pixel's mean over channels; then contrast
                 times c in [0.5, 1.5], around the picture's mean
    translation  moved by up to an eighth of each side; what comes in from outside is 0
    cutout       a square of half the sides, centred anywhere, is set to 0
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from autograd import Tensor
from autograd.function import Function
from kernels.device import Array, xp_of

SHIFT, CUT = 0.125, 0.5  # of each side

Draw = Callable[[Callable[[np.random.Generator], np.ndarray]], Array]
"""Gives what a function makes of a stream of random numbers, on the device."""


def diffaugment(x: Tensor, policy: str, draw: Draw) -> Tensor:
    """Pictures [N,H,W,C] changed as `policy`, such as "color,translation,cutout", says, in its order."""
    for name in policy.split(","):
        x = AUGMENTATIONS[name](x, draw)
    return x


def color(x: Tensor, draw: Draw) -> Tensor:
    """Brightness, saturation and contrast."""
    n, h, w, c = x.shape

    def drawn(rng: np.random.Generator) -> np.ndarray:
        bright, saturated, contrast = rng.random((3, n, 1, 1, 1))
        return np.stack([bright - 0.5, 2 * saturated, contrast + 0.5])

    bright, saturated, contrast = draw(drawn)  # [N,1,1,1] each
    x = x + bright
    grey = x.sum(axis=3, keepdims=True) * (1 / c)  # [N,H,W,1]
    x = (x - grey) * saturated + grey
    mean = x.sum(axis=(1, 2, 3), keepdims=True) * (1 / (h * w * c))  # [N,1,1,1]
    return (x - mean) * contrast + mean


def translation(x: Tensor, draw: Draw) -> Tensor:
    """Each picture moved down and right by its own draws."""
    n, h, w, _ = x.shape

    def drawn(rng: np.random.Generator) -> np.ndarray:
        most = portion(h, SHIFT), portion(w, SHIFT)
        return np.stack([rng.integers(-m, m, n, endpoint=True) for m in most])

    return Moved(by=draw(drawn))(x)


class Moved(Function):
    """Pictures [N,H,W,C] moved down and right by the whole numbers `by` [2,N] on their device; what comes in is 0."""

    def forward(self, x: Array) -> Array:
        return moved(x, *self.settings["by"])

    def backward(self, dy: Array) -> Array:
        return moved(dy, *-self.settings["by"])


def counted(xp: Any, n: int) -> Array:
    """0, 1, …, n - 1; of NumPy always the same array, so that a step that is noted knows it for a constant."""
    return _counted(n) if xp is np else xp.arange(n)


_counted = functools.lru_cache(np.arange)


def moved(x: Array, down: Array, right: Array) -> Array:
    """x [N,H,W,C], each picture moved down and right by its own numbers of `down` and `right` [N]."""
    xp, (n, h, w, _) = xp_of(x), x.shape
    rows, columns = counted(xp, h) - down[:, None], counted(xp, w) - right[:, None]  # [N,H], [N,W]: where from
    inside = ((rows >= 0) & (rows < h))[:, :, None, None] & ((columns >= 0) & (columns < w))[:, None, :, None]
    rows, columns = xp.clip(rows, 0, h - 1)[:, :, None], xp.clip(columns, 0, w - 1)[:, None, :]
    return xp.where(inside, x[counted(xp, n)[:, None, None], rows, columns], xp.zeros_like(x, shape=()))


def cutout(x: Tensor, draw: Draw) -> Tensor:
    """A square of each picture set to 0; at an edge a part of it is outside."""
    n, h, w, _ = x.shape
    rows = draw(lambda rng: hidden(h, n, rng))  # [N,H]
    columns = draw(lambda rng: hidden(w, n, rng))  # [N,W]
    return x * (1 - rows[:, :, None, None] * columns[:, None, :, None])


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}


def portion(side: int, share: float) -> int:
    """A share of a side, in whole pixels."""
    return int(side * share + 0.5)


def hidden(side: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Of `count` pictures the pixels of a side that a cut hides: 1 there, else 0, [count,side]."""
    cut = portion(side, CUT)
    starts = rng.integers(0, side + 1 - cut % 2, count) - cut // 2
    first, end = np.clip(starts, 0, side - 1), np.clip(starts + cut, 1, side)
    at = np.arange(side)
    return ((at >= first[:, None]) & (at < end[:, None])).astype(np.float32)
