"""Gradient clipping on the CPU: the reference, whose look at the norm is one operation where a step is noted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.clip_grad_norm.reference import factor
from kernels.cpu.noted import operation
from kernels.device import Array


def forward(grads: Sequence[Array], *, most: float) -> list[Array]:
    scale = shrinks(list(grads), most)
    return [grad * scale for grad in grads]


@operation
def shrinks(grads: list[Array], most: float) -> Array:
    return np.array(factor(grads, most), grads[0].dtype)
