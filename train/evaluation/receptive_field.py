"""What one score of a discriminator sees: the box that follows from its convolutions, and its measured gradient.

Instance norm lets every score depend on every pixel, so some of the gradient lies outside of the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autograd import Tensor
from nn.layers import Conv2d, ConvNormRelu
from nn.network import Network

TOGETHER = 8  # scores that go backward as one batch


@dataclass(frozen=True)
class Field:
    """Score i sees the `size` pixels from `start + i * step` on, along each side; some may lie beyond the picture's edge."""

    size: int
    step: int
    start: int

    def rows(self, i: int, height: int) -> slice:
        """Those of a picture of that height that score i sees."""
        first = self.start + i * self.step
        return slice(max(first, 0), min(first + self.size, height))


def nominal(disc: Network) -> Field:
    """From the convolutions, first to last: a kernel of k joins k outputs that are a step apart, a stride widens the step."""
    size, step, start = 1, 1, 0
    for _, layer in disc.named_modules():
        if isinstance(layer, Conv2d | ConvNormRelu):
            size += (layer.weight.shape[0] - 1) * step
            start -= layer.geometry["padding"] * step
            step *= layer.geometry["stride"]
    return Field(size, step, start)


def score_gradients(disc: Network, x: np.ndarray, places: Sequence[tuple[int, int]]) -> np.ndarray:
    """|d score / d pixel|, summed over the channels, of the scores at these rows and columns: x [1,H,W,C] -> [n,H,W].

    Leaves the network's own gradients alone.
    """
    found = []
    learns = [p.requires_grad for p in disc.parameters()]
    disc.requires_grad_(False)
    for first in range(0, len(places), TOGETHER):
        some = places[first : first + TOGETHER]
        pictures = Tensor(np.repeat(x, len(some), axis=0), requires_grad=True, device=disc.device)
        scores = disc(pictures)  # [n,P,Q,1]
        chosen = np.zeros(scores.shape, scores.dtype)
        for k, (i, j) in enumerate(some):
            chosen[k, i, j, 0] = 1
        scores.backward(chosen)
        assert pictures.grad is not None
        found.append(abs(pictures.grad).sum(axis=3))
    for p, flag in zip(disc.parameters(), learns, strict=True):
        p.requires_grad = flag
    return np.concatenate(found)


def outside(gradient: np.ndarray, field: Field, i: int, j: int) -> float:
    """The share of a score's gradient [H,W] that lies outside of the box it nominally sees."""
    height, width = gradient.shape
    inside = gradient[field.rows(i, height), field.rows(j, width)].sum(dtype=np.float64)
    whole = gradient.sum(dtype=np.float64)
    return float(1 - inside / whole) if whole else 0.0
