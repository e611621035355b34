"""Leaky ReLU for the CPU, one pass each way."""

from __future__ import annotations

import numpy as np

from kernels.cpu.compiler import kernel
from kernels.cpu.threads import empty, ready, share
from kernels.device import Array
from kernels.leaky_relu import reference


def forward(x: Array, *, slope: float) -> Array:
    return reference.forward(x, slope=slope) if x.dtype != np.float32 else _scaled(x, x, slope)


def backward(dy: Array, y: Array, *, slope: float) -> Array:
    return reference.backward(dy, y, slope=slope) if dy.dtype != np.float32 else _scaled(dy, y, slope)


def _scaled(x: Array, sign: Array, slope: float) -> Array:
    """x where `sign` is positive, else slope * x."""
    y = empty(*x.shape)
    share(_scale, x.size, 2 * x.size, ready(x).reshape(-1), ready(sign).reshape(-1), np.float32(slope), y.reshape(-1))
    return y


@kernel
def _scale(first, last, x, sign, slope, y):
    x, sign, y = x[first:last], sign[first:last], y[first:last]
    for i in range(y.size):  # from 0: an index that could be negative would keep the loop from being made of vectors
        y[i] = x[i] if sign[i] > 0 else x[i] * slope
