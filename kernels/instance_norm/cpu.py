"""Instance normalisation for the CPU: statistics in one sweep, everything else in a second one.

The pixels of an image are cut into SLABS. Each slab finds its mean and its sum of squared deviations M2 in two passes
over memory that is still in the cache; slabs are then merged as Chan, Golub and LeVeque do (1983):

    mean = sum n_i mean_i / n          M2 = sum M2_i + n_i (mean_i - mean)^2
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.device import Array
from kernels.instance_norm import reference
from kernels.instance_norm.reference import SLOPES
from kernels.threads import kernel, ready, scratch, share

f4 = np.float32
SLABS = 32
"""Per image, whatever the number of threads, so that this does not change the result."""


def forward(
    x: Array, skip: Array | None = None, *, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    if x.dtype != f4:
        return reference.forward(x, skip, activation=activation, slope=slope, eps=eps)
    shape, (N, slabs, _) = x.shape, slabs_of(x)
    x = flat(x)
    mean, rstd = moments(x, slabs, eps)
    y = np.empty(shape, f4)
    share(
        _normalise, N * slabs, 2 * x.size, slabs, x, x if skip is None else flat(skip), skip is not None, mean, rstd,
        f4(SLOPES.get(activation, slope)), flat(y),
    )  # fmt: skip
    return y, mean, rstd


def backward(dy: Array, x: Array, mean: Array, rstd: Array, **norm: Any) -> Array:
    if dy.dtype != f4:
        return reference.backward(dy, x, mean, rstd, **norm)
    shape, (N, slabs, C) = x.shape, slabs_of(x)
    dy, x = flat(dy), flat(x)
    slope = f4(SLOPES.get(norm.get("activation", "none"), norm.get("slope", 0.2)))
    sums, alongs = scratch("norm", 2, N, slabs, C)
    share(_sums, N * slabs, 2 * x.size, dy, x, mean, rstd, slope, sums, alongs)
    dx = np.empty(shape, f4)
    share(
        _gradient, N * slabs, 3 * x.size, slabs, dy, x, mean, rstd, slope,
        sums.sum(axis=1) / x.shape[1], alongs.sum(axis=1) / x.shape[1], flat(dx),
    )  # fmt: skip
    return dx


def moments(x: Array, slabs: int, eps: float) -> Array:
    """Mean and 1 / deviation [2,N,C] of x [N,pixels,C]."""
    N, _, C = x.shape
    both = np.empty((2, N, C), f4)
    means, squares = scratch("norm", 2, N, slabs, C)
    share(_moments, N * slabs, x.size, x, means, squares)
    _merge(means, squares, x.shape[1], eps, both[0], both[1])
    return both


def flat(x: Array) -> Array:
    """[N,H,W,C] -> [N,H*W,C], contiguous."""
    return ready(x).reshape(x.shape[0], -1, x.shape[3])


def slabs_of(x: Array) -> tuple[int, int, int]:
    """N, slabs per image, C."""
    return x.shape[0], min(SLABS, x.shape[1] * x.shape[2]), x.shape[3]


@kernel
def _moments(first, last, x, means, squares):
    """Mean and M2 [N,slabs,C] of each slab of x [N,pixels,C]"""
    slabs, C = means.shape[1:]
    for i in range(first, last):
        n, slab = i // slabs, i % slabs
        start, end = x.shape[1] * slab // slabs, x.shape[1] * (slab + 1) // slabs
        # Sums of differences from the first pixel: small numbers, even where the mean is large.
        mean, square = np.zeros(C, f4), np.zeros(C, f4)
        for p in range(start, end):
            for c in range(C):
                mean[c] += x[n, p, c] - x[n, start, c]
        for c in range(C):
            mean[c] = mean[c] / f4(end - start) + x[n, start, c]
        for p in range(start, end):
            for c in range(C):
                square[c] += (x[n, p, c] - mean[c]) * (x[n, p, c] - mean[c])
        for c in range(C):
            means[n, slab, c], squares[n, slab, c] = mean[c], square[c]


@kernel
def _merge(means, squares, pixels, eps, mean, rstd):
    N, slabs, C = means.shape
    for n in range(N):
        for c in range(C):
            total, square = 0.0, 0.0
            for i in range(slabs):
                total += (pixels * (i + 1) // slabs - pixels * i // slabs) * np.float64(means[n, i, c])
            total /= pixels
            for i in range(slabs):
                count = pixels * (i + 1) // slabs - pixels * i // slabs
                square += np.float64(squares[n, i, c]) + count * (means[n, i, c] - total) ** 2
            mean[n, c], rstd[n, c] = total, 1 / np.sqrt(square / pixels + eps)


@kernel
def _normalise(first, last, slabs, x, skip, has_skip, mean, rstd, slope, y):
    pixels, C = x.shape[1:]
    for i in range(first, last):
        n, slab = i // slabs, i % slabs
        for p in range(pixels * slab // slabs, pixels * (slab + 1) // slabs):
            for c in range(C):
                v = (x[n, p, c] - mean[n, c]) * rstd[n, c]
                y[n, p, c] = v if v > 0 else v * slope
            if has_skip:
                for c in range(C):
                    y[n, p, c] += skip[n, p, c]


@kernel
def _sums(first, last, dy, x, mean, rstd, slope, sums, alongs):
    """Per slab, the sum of g = act'(x_hat) dy and of g x_hat"""
    slabs, C = sums.shape[1:]
    pixels = x.shape[1]
    for i in range(first, last):
        n, slab = i // slabs, i % slabs
        total, along = np.zeros(C, f4), np.zeros(C, f4)
        for p in range(pixels * slab // slabs, pixels * (slab + 1) // slabs):
            for c in range(C):
                v = (x[n, p, c] - mean[n, c]) * rstd[n, c]
                g = dy[n, p, c] if v > 0 else dy[n, p, c] * slope
                total[c] += g
                along[c] += g * v
        for c in range(C):
            sums[n, slab, c], alongs[n, slab, c] = total[c], along[c]


@kernel
def _gradient(first, last, slabs, dy, x, mean, rstd, slope, total, along, dx):
    """dx = rstd (g - mean(g) - x_hat mean(g x_hat))"""
    pixels, C = x.shape[1:]
    for i in range(first, last):
        n, slab = i // slabs, i % slabs
        for p in range(pixels * slab // slabs, pixels * (slab + 1) // slabs):
            for c in range(C):
                v = (x[n, p, c] - mean[n, c]) * rstd[n, c]
                g = dy[n, p, c] if v > 0 else dy[n, p, c] * slope
                dx[n, p, c] = rstd[n, c] * (g - total[n, c] - v * along[n, c])
