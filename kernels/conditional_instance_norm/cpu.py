"""Conditional instance normalisation for the CPU: the statistics of instance_norm, and scale, shift and activation with the
second sweep.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.conditional_instance_norm import reference
from kernels.device import Array
from kernels.instance_norm.cpu import flat, moments, slabs_of
from kernels.instance_norm.reference import SLOPES
from kernels.threads import kernel, ready, scratch, share

f4 = np.float32


def forward(
    x: Array, scale: Array, shift: Array, *, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    if x.dtype != f4:
        return reference.forward(x, scale, shift, activation=activation, slope=slope, eps=eps)
    shape, (N, slabs, _) = x.shape, slabs_of(x)
    x = flat(x)
    mean, rstd = moments(x, slabs, eps)
    y = np.empty(shape, f4)
    negative = f4(SLOPES.get(activation, slope))
    share(_modulate, N * slabs, 2 * x.size, slabs, x, mean, rstd, ready(scale), ready(shift), negative, flat(y))
    return y, mean, rstd


def backward(
    dy: Array, x: Array, mean: Array, rstd: Array, scale: Array, shift: Array, **norm: Any
) -> tuple[Array, Array, Array]:
    if dy.dtype != f4:
        return reference.backward(dy, x, mean, rstd, scale, shift, **norm)
    shape, (N, slabs, C) = x.shape, slabs_of(x)
    dy, x, scale, shift = flat(dy), flat(x), ready(scale), ready(shift)
    negative = f4(SLOPES.get(norm.get("activation", "none"), norm.get("slope", 0.2)))
    sums, alongs = scratch("norm", 2, N, slabs, C)
    share(_sums, N * slabs, 2 * x.size, dy, x, mean, rstd, scale, shift, negative, sums, alongs)
    dshift, dscale = sums.sum(axis=1), alongs.sum(axis=1)  # [N,C]
    dx = np.empty(shape, f4)
    share(
        _gradient, N * slabs, 3 * x.size, slabs, dy, x, mean, rstd, scale, shift, negative,
        dshift / f4(x.shape[1]), dscale / f4(x.shape[1]), flat(dx),
    )  # fmt: skip
    return dx, dscale, dshift


@kernel
def _modulate(first, last, slabs, x, mean, rstd, scale, shift, negative, y):
    pixels, C = x.shape[1:]
    for i in range(first, last):
        n, slab = i // slabs, i % slabs
        for p in range(pixels * slab // slabs, pixels * (slab + 1) // slabs):
            for c in range(C):
                v = (x[n, p, c] - mean[n, c]) * rstd[n, c] * scale[n, c] + shift[n, c]
                y[n, p, c] = v if v > 0 else v * negative


@kernel
def _sums(first, last, dy, x, mean, rstd, scale, shift, negative, sums, alongs):
    """Per slab, the sum of g = act' dy and of g x_hat"""
    slabs, C = sums.shape[1:]
    pixels = x.shape[1]
    for i in range(first, last):
        n, slab = i // slabs, i % slabs
        total, along = np.zeros(C, f4), np.zeros(C, f4)
        for p in range(pixels * slab // slabs, pixels * (slab + 1) // slabs):
            for c in range(C):
                v = (x[n, p, c] - mean[n, c]) * rstd[n, c]
                g = dy[n, p, c] if v * scale[n, c] + shift[n, c] > 0 else dy[n, p, c] * negative
                total[c] += g
                along[c] += g * v
        for c in range(C):
            sums[n, slab, c], alongs[n, slab, c] = total[c], along[c]


@kernel
def _gradient(first, last, slabs, dy, x, mean, rstd, scale, shift, negative, total, along, dx):
    """dx = rstd scale (g - mean(g) - x_hat mean(g x_hat))"""
    pixels, C = x.shape[1:]
    for i in range(first, last):
        n, slab = i // slabs, i % slabs
        for p in range(pixels * slab // slabs, pixels * (slab + 1) // slabs):
            for c in range(C):
                v = (x[n, p, c] - mean[n, c]) * rstd[n, c]
                g = dy[n, p, c] if v * scale[n, c] + shift[n, c] > 0 else dy[n, p, c] * negative
                dx[n, p, c] = rstd[n, c] * scale[n, c] * (g - total[n, c] - v * along[n, c])
