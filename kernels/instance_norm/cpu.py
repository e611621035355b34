"""Instance normalisation for the CPU: statistics in one sweep, everything else in a second one.

The pixels of an image are cut into SLABS. Each slab finds its mean and its sum of squared deviations M2 in two passes
over memory that is still in the cache; slabs are then merged as Chan, Golub and LeVeque do (1983):

    mean = sum n_i mean_i / n          M2 = sum M2_i + n_i (mean_i - mean)^2
"""

from __future__ import annotations

import math

import numpy as np

from kernels.cpu.compiler import kernel, subroutine
from kernels.cpu.threads import empty, ready, scratch, share
from kernels.device import Array
from kernels.instance_norm import reference
from kernels.instance_norm.settings import NormSettings

f4 = np.float32
SLABS, LEAST = 32, 64
"""Per image, and pixels of a slab; whatever the number of threads, so that this does not change the result."""


def forward(x: Array, skip: Array | None = None, *, norm: NormSettings) -> tuple[Array, Array, Array]:
    if x.dtype != f4:
        return reference.forward(x, skip, norm=norm)
    return normalised(x, (None, None), skip, norm)


def backward(dy: Array, x: Array, mean: Array, rstd: Array, *, norm: NormSettings) -> Array:
    if dy.dtype != f4:
        return reference.backward(dy, x, mean, rstd, norm=norm)
    return gradients(dy, x, mean, rstd, (None, None), norm)[0]


Affine = tuple[Array | None, Array | None]
"""A scale and a shift [N,C] of the normalised values; or neither, which compiles to loops without them."""


def normalised(x: Array, affine: Affine, skip: Array | None, norm: NormSettings) -> tuple[Array, Array, Array]:
    """act(scale x_hat + shift) + skip, mean and rstd."""
    shape, (N, slabs, C) = x.shape, slabs_of(x)
    x, y = flat(x), empty(*shape)
    mean, rstd = empty(2, N, C)
    means, squares = scratch("norm", 2, N, slabs, C)
    share(_moments, N * slabs, x.size, x, means, squares)
    share(
        _normalise, N * slabs, 2 * x.size, x, skip is not None, x if skip is None else flat(skip), means, squares, norm.eps,
        mean, rstd, *affine, f4(norm.negative_slope), flat(y),
    )  # fmt: skip
    return y, mean, rstd


def gradients(
    dy: Array, x: Array, mean: Array, rstd: Array, affine: Affine, norm: NormSettings
) -> tuple[Array, Array, Array]:
    """dx, and the sums of g x_hat and of g = act' dy over the pixels [N,C], which are dscale and dshift."""
    shape, (N, slabs, C) = x.shape, slabs_of(x)
    dy, x, dx, slope = flat(dy), flat(x), empty(*shape), f4(norm.negative_slope)
    sums, alongs = scratch("norm", 2, N, slabs, C)
    total, along = empty(2, N, C)
    share(_sums, N * slabs, 2 * x.size, dy, x, mean, rstd, *affine, slope, sums, alongs)
    share(
        _gradient, N * slabs, 3 * x.size, dy, x, mean, rstd, *affine, slope, sums, alongs, total, along, flat(dx)
    )  # fmt: skip
    return dx, along, total


def flat(x: Array) -> Array:
    """[N,H,W,C] -> [N,H*W,C], contiguous."""
    return ready(x).reshape(x.shape[0], -1, x.shape[3])


def slabs_of(x: Array) -> tuple[int, int, int]:
    """N, slabs per image, C."""
    return x.shape[0], min(SLABS, math.ceil(x.shape[1] * x.shape[2] / LEAST)), x.shape[3]


@subroutine
def _slab(i, slabs, pixels):
    """Image, first pixel and end of the i-th slab"""
    slab = i % slabs
    return i // slabs, pixels * slab // slabs, pixels * (slab + 1) // slabs


@kernel
def _moments(first, last, x, means, squares):
    """Mean and M2 [N,slabs,C] of each slab of x [N,pixels,C]"""
    slabs, C = means.shape[1:]
    for i in range(first, last):
        n, start, end = _slab(i, slabs, x.shape[1])
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
            means[n, i % slabs, c], squares[n, i % slabs, c] = mean[c], square[c]


@subroutine
def _merged(means, squares, pixels, eps):
    """Mean and 1 / deviation [C] of an image, from those of its slabs [slabs,C]"""
    slabs, C = means.shape
    total, square = np.zeros(C), np.zeros(C)  # float64
    mean, rstd = np.empty(C, f4), np.empty(C, f4)
    for i in range(slabs):
        _, start, end = _slab(i, slabs, pixels)
        for c in range(C):
            total[c] += (end - start) * np.float64(means[i, c])
    for c in range(C):
        total[c] /= pixels
    for i in range(slabs):
        _, start, end = _slab(i, slabs, pixels)
        for c in range(C):
            square[c] += np.float64(squares[i, c]) + (end - start) * (means[i, c] - total[c]) ** 2
    for c in range(C):
        mean[c], rstd[c] = total[c], 1 / np.sqrt(square[c] / pixels + eps)
    return mean, rstd


@subroutine
def _share_of(n, first, last, slabs):
    """Which slabs of image n are among the slabs first..last of all images"""
    return max(0, first - n * slabs), min(slabs, last - n * slabs)


@kernel
def _normalise(first, last, x, add, skip, means, squares, eps, mean, rstd, scale, shift, slope, y):
    (_, pixels, C), slabs = x.shape, means.shape[1]
    for n in range(first // slabs, (last + slabs - 1) // slabs):
        low, high = _share_of(n, first, last, slabs)
        mu, r = _merged(means[n], squares[n], pixels, eps)  # every thread for itself: less than to hand it over
        if low == 0:
            for c in range(C):  # for `mean[n] = mu` numba compiles the text of an error too, a second and a half long
                mean[n, c], rstd[n, c] = mu[c], r[c]
        for p in range(pixels * low // slabs, pixels * high // slabs):
            for c in range(C):
                v = (x[n, p, c] - mu[c]) * r[c]
                if scale is not None:
                    v = v * scale[n, c] + shift[n, c]
                y[n, p, c] = v if v > 0 else v * slope
            if add:
                for c in range(C):
                    y[n, p, c] += skip[n, p, c]


@kernel
def _sums(first, last, dy, x, mean, rstd, scale, shift, slope, sums, alongs):
    """Per slab, the sum of g = act' dy and of g x_hat"""
    slabs, C = sums.shape[1:]
    for i in range(first, last):
        n, start, end = _slab(i, slabs, x.shape[1])
        total, along = np.zeros(C, f4), np.zeros(C, f4)
        for p in range(start, end):
            for c in range(C):
                v = (x[n, p, c] - mean[n, c]) * rstd[n, c]
                kept = v > 0 if scale is None else v * scale[n, c] + shift[n, c] > 0
                g = dy[n, p, c] if kept else dy[n, p, c] * slope
                total[c] += g
                along[c] += g * v
        for c in range(C):
            sums[n, i % slabs, c], alongs[n, i % slabs, c] = total[c], along[c]


@kernel
def _gradient(first, last, dy, x, mean, rstd, scale, shift, slope, sums, alongs, total, along, dx):
    """dx = rstd scale (g - mean(g) - x_hat mean(g x_hat)), and these sums"""
    (_, pixels, C), slabs = x.shape, sums.shape[1]
    for n in range(first // slabs, (last + slabs - 1) // slabs):
        low, high = _share_of(n, first, last, slabs)
        mean_g, mean_gx = np.zeros(C, f4), np.zeros(C, f4)
        for i in range(slabs):
            for c in range(C):
                mean_g[c] += sums[n, i, c]
                mean_gx[c] += alongs[n, i, c]
        if low == 0:
            for c in range(C):
                total[n, c], along[n, c] = mean_g[c], mean_gx[c]
        for c in range(C):
            mean_g[c] /= pixels
            mean_gx[c] /= pixels
        for p in range(pixels * low // slabs, pixels * high // slabs):
            for c in range(C):
                v = (x[n, p, c] - mean[n, c]) * rstd[n, c]
                kept = v > 0 if scale is None else v * scale[n, c] + shift[n, c] > 0
                g = dy[n, p, c] if kept else dy[n, p, c] * slope
                factor = rstd[n, c] if scale is None else rstd[n, c] * scale[n, c]
                dx[n, p, c] = factor * (g - mean_g[c] - v * mean_gx[c])
