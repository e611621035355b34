"""Gradient clipping in plain array code. The host looks at every gradient's norm, which from a GPU it would wait for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kernels.device import Array


def forward(grads: Sequence[Array], *, most: float) -> list[Array]:
    scale = factor(grads, most)
    return [grad if scale == 1 else grad * grad.dtype.type(scale) for grad in grads]


def factor(grads: Sequence[Array], most: float) -> float:
    """What all gradients are multiplied by; 1 where they are short enough."""
    norm = math.sqrt(math.fsum(float((grad * grad).sum()) for grad in grads))
    return most / (norm + 1e-6) if norm > most else 1.0
