"""Winograd's convolution with a quarter of the multiplications at stride 1, and half to a third of them at stride 2.

An m x m tile of the output needs a 6x6 patch d of the input: m = 4 for 3x3 kernels, 3 for 4x4, 5 for 2x2. With three small
constant matrices (winograd_transforms.py)

    Y = A^T [ (G w G^T) * (B^T d B) ] A            * element by element, then summed over the channels C

so that for each of the 36 elements the sum over channels is a matrix product [tiles,C] x [C,K]. The backward is the
adjoint, read from right to left: dM = A dY A^T; dV = dM U^T, dU = V^T dM; dx += B dV B^T, dw = G^T dU G.

winograd_layout.py says how padding and strides come into this.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from kernels.conv2d.geometry import Geometry
from kernels.conv2d.winograd_layout import block, folded, layout, tile, unfolded, vectors
from kernels.conv2d.winograd_transforms import (
    outputs,
    outputs_adjoint,
    patches,
    patches_adjoint,
    weights,
    weights_adjoint,
)
from kernels.cpu.compiler import kernel, subroutine
from kernels.cpu.gemm import COLS, LANES, ROWS, flattened, multiply, whole
from kernels.cpu.threads import Own, empty, parts_of, ready, scratch, share, zeros
from kernels.device import Array

f4 = np.float32

BAND = 36 << 15
"""Elements of V that a thread works on at a time: each of its 36 blocks takes 128 kB."""
CHUNK, SUMMED = 1 << 23, 1 << 21
"""Elements of V and M together that one round of a backward keeps: 32 MB for dx; for dw 8 MB, or as many as dU beside them."""
ENOUGH = 16
"""Channels on either side from which the transforms pay."""
BASE = 6
"""Tiles whose products take as long as transforming the weights."""
MANY = 4
"""Threads from which transforming the weights once for all of them is less than doing so in each."""


@functools.lru_cache(1000)
def suits(w: tuple[int, ...], stride: int, N: int, P: int, Q: int) -> bool:
    """Whether weights of shape w [R,S,C,K] at this stride, for an output [N,P,Q,K], are served here, and faster than by
    direct.py: by the products that are left, of which 11 in 72 meet only zeros where a parity lacks a tap."""
    R, S, *channels = w
    if R != S or R not in (3, 4) or stride > 2 or min(channels) < ENOUGH:
        return False
    m = tile(R, stride)
    products = 36 * stride * stride * (N * math.ceil(P / m) * math.ceil(Q / m) + BASE)
    return products * (61 / 72 if R % stride else 1) < 0.8 * N * P * Q * R * R


def fprop(x: Array, w: Array, geometry: Geometry, turned: bool = False) -> Array:
    """x [N,H,W,C], w [R,R,C,K] with R 3 or 4 -> y [N,P,Q,K]; `turned`: w is [R,R,K,C], as transposed convolutions have it."""
    (N, H, W, _), K, x, stride = x.shape, w.shape[2 if turned else 3], vectors(x), geometry.stride
    lay, w = layout(H, W, len(w), geometry), folded(w, x.shape[3], stride, turned)
    y = empty(N, lay.P, lay.Q, whole(K, LANES))
    lines, deep, wide = N * lay.down, stride * stride * x.shape[3], y.shape[3]
    band = max(1, min(lines, BAND // (36 * lay.across * deep)))
    work, most = 36 * lines * lay.across * (deep + wide), whole(band * lay.across, ROWS)
    made, U = _transformed(w, turned, deep, wide, parts_of(lines, work))
    V, M = Own("V", 36, distance(most * deep)), Own("M", 36, distance(most * wide))
    share(_fprop, lines, work, band, x, w, turned, made, U, V, M, y, lay, least=band)
    return y if wide == K else ready(y[..., :K])


def dgrad(dy: Array, shape: tuple[int, ...], w: Array, geometry: Geometry, turned: bool = False) -> Array:
    """dy [N,P,Q,K], w as in forward -> dx of shape [N,H,W,C]."""
    (N, H, W, C), K, dy, stride = shape, dy.shape[3], vectors(dy), geometry.stride
    lay, dx = layout(H, W, len(w), geometry), zeros(N, H, W, whole(C, LANES))
    deep, wide, w = stride * stride * dx.shape[3], dy.shape[3], folded(w, dx.shape[3], stride, turned)
    lines = N * lay.down
    work = 36 * lines * lay.across * (deep + wide)
    shared = work if lay.apart else 0  # else one thread does it all
    made, U = _transformed(w, not turned, K, deep, parts_of(lines, shared))
    least = math.ceil(30 * BASE / lay.across)  # lines whose products are thirty times the weights' transform
    for base, end in _rounds(lines, work, CHUNK):
        M = scratch("M", 36, distance(((end - base) * lay.across + ROWS) * wide))
        dV = scratch("V", 36, distance((end - base) * (lay.across + ROWS) * deep))
        starts = empty(end - base, dtype=np.int64)
        share(_dgrad, end - base, shared, base, dy, w, K, turned, made, U, M, dV, starts, dx, lay, least=least)
        share(_scatter, end - base, shared, base, 1, dV, starts, dx, lay)
    return dx if dx.shape[3] == C else ready(dx[..., :C])


def wgrad(dy: Array, x: Array, shape: tuple[int, ...], geometry: Geometry) -> Array:
    """dy [N,P,Q,K], x [N,H,W,C] -> dw of shape [R,R,C,K]."""
    (N, H, W, _), R, x, dy, stride = x.shape, shape[0], vectors(x), vectors(dy), geometry.stride
    lay, r = layout(H, W, R, geometry), math.ceil(R / stride)
    deep, wide, lines = stride * stride * x.shape[3], dy.shape[3], N * lay.down
    work = 36 * lines * lay.across * (deep + wide)
    dw, dU = empty(r, r, deep, shape[3]), scratch("dU", 36, distance(whole(deep, ROWS) * wide))
    for base, end in _rounds(lines, work, max(SUMMED, 36 * deep * wide)):
        tiles = (end - base) * lay.across
        V, M = scratch("V", 36, distance((tiles + 1) * deep)), scratch("M", 36, distance(tiles * whole(wide, COLS)))
        share(_both, end - base, work, base, dy, x, V, M, tiles, lay)
        share(_products, 36, work, tiles, deep, V, M, wide, base > 0, dU, lay.narrow)
    share(weights_adjoint, deep, dU.size, dw, dU, wide)
    return unfolded(dw, shape, stride)


def _transformed(w: Array, turned: bool, C: int, K: int, parts: int) -> tuple[bool, Any]:
    """Whether U = G w G^T [C,K] is made, and the panels of it: all, or room for one in each thread, which makes them as it goes."""
    panels, size = math.ceil(K / COLS), distance(C * COLS)
    if parts < MANY:
        return False, Own("U", 1, 36, size)
    U = scratch("U", panels, 36, size)
    share(_transform, panels, U.size, w, turned, U)
    return True, U


def _rounds(lines: int, work: int, most: int) -> list[tuple[int, int]]:
    """The first line and the end of each round of a backward, which works on about `most` of `work` elements."""
    step = math.ceil(lines / math.ceil(work / most))
    return [(base, min(base + step, lines)) for base in range(0, lines, step)]


@subroutine
def distance(size):
    """The distance of 36 blocks of `size` elements: an odd number of cache lines, for as a power of two it would let
    all 36 fall into one set of the cache, which holds a dozen lines."""
    return 16 * ((size + 15) // 16 // 2 * 2 + 1)


# -- bands of lines of tiles, from one end to the other


@subroutine
def _span(e, deep, narrow):
    """The channels of V that meet weights other than 0 in the e-th of 36 elements; `narrow`: odd parities lack their last tap"""
    if not narrow:
        return 0, deep
    even_rows, even_cols = e >= 30, e % 6 == 5
    return deep // 4 if even_cols else 0, deep // 4 * (2 if even_rows else 3 if even_cols else 4)


@kernel
def _transform(first, last, w, turned, U):
    for panel in range(first, last):
        weights(panel, w, turned, False, U)


@kernel
def _fprop(first, last, band, x, w, turned, made, U, V, M, y, lay):
    """y of the lines first..last, a band of them at a time"""
    K, deep, bands = y.shape[3], lay.stride * lay.stride * x.shape[3], (last - first + band - 1) // band
    for i in range(bands):
        start, end = first + (last - first) * i // bands, first + (last - first) * (i + 1) // bands
        for line in range(start, end):
            patches(line, (line - start) * lay.across, x, V, lay)
        for panel in range((K + COLS - 1) // COLS):
            u = weights(panel, w, turned, made, U)
            columns = min(COLS, K - panel * COLS)
            for e in range(36):
                low, high = _span(e, deep, lay.narrow)
                multiply(
                    (end - start) * lay.across, columns, 1, high - low, flattened(V), e * V.shape[1] + low, deep, 0, 1,
                    u, e * U.shape[2] + low * COLS, 0, COLS,
                    flattened(M), e * M.shape[1] + panel * COLS, K, False,
                )  # fmt: skip
        for line in range(start, end):
            outputs(line, (line - start) * lay.across, y, M, lay.m)


@kernel
def _dgrad(first, last, base, dy, w, K, turned, made, U, M, dV, starts, dx, lay):
    """Of the lines base + first .. base + last: M = A dY A^T and dV = M U^T; and half of them into dx"""
    wide, deep, tiles = dy.shape[3], lay.stride * lay.stride * dx.shape[3], (last - first) * lay.across
    for line in range(first, last):
        outputs_adjoint(base + line, line * lay.across, dy, M, lay.m, 0)
    starts[first:last] = first
    to = _place(first, starts, lay.across)
    for panel in range((deep + COLS - 1) // COLS):
        u = weights(panel, w, not turned, made, U)
        column, columns = panel * COLS, min(COLS, deep - panel * COLS)
        for e in range(36):
            low, high = _span(e, deep, lay.narrow)
            if low < column + columns and column < high:
                multiply(
                    tiles, columns, 1, K, flattened(M), e * M.shape[1] + first * lay.across * wide, wide, 0, 1,
                    u, e * U.shape[2], 0, COLS, flattened(dV), e * dV.shape[1] + to * deep + column, deep, False,
                )  # fmt: skip
            else:
                for row in range(to, to + tiles):
                    dV[e, row * deep + column : row * deep + column + columns] = f4(0)
    _scatter(first, last, base, np.int64(0), dV, starts, dx, lay)  # 0 itself would compile it once more


@subroutine
def _place(line, starts, across):
    """The place in dV of a line's first tile. Lines that were multiplied together, from starts[line] on, lie together; ROWS
    tiles for each leave room for the last rows that `multiply` writes."""
    return starts[line] * (across + ROWS) + (line - starts[line]) * across


@kernel
def _scatter(first, last, base, odd, dV, starts, dx, lay):
    """dx += B dV B^T of every second of the lines base + first .. base + last: those meet no pixel of each other, so that two
    threads may add at once. First all even ones, then all odd ones, on any number of threads: so the bits are the same."""
    C = dx.shape[3]
    for line in range(first + (base + first + odd) % 2, last, 2):
        t = _place(line, starts, lay.across)
        for a in range(lay.stride):
            for b in range(lay.stride):
                at, deep = block(a, b, lay.stride) * C, lay.stride * lay.stride * C
                patches_adjoint(base + line, t, dx, dV, at, deep, lay.rows[a], lay.cols[b], lay.stride, lay.m)


@kernel
def _both(first, last, base, dy, x, V, M, tiles, lay):
    """V and M = A dY A^T of the lines base + first .. base + last, M in panels of so many tiles"""
    for line in range(first, last):
        outputs_adjoint(base + line, line * lay.across, dy, M, lay.m, tiles)
        patches(base + line, line * lay.across, x, V, lay)


@kernel
def _products(first, last, tiles, deep, V, M, wide, add, dU, narrow):
    """dU = V^T M"""
    for e in range(first, last):
        low, high = _span(e, deep, narrow)
        multiply(
            high - low, wide, 1, tiles, flattened(V), e * V.shape[1] + low, 1, 0, deep,
            flattened(M), e * M.shape[1], tiles * COLS, COLS, flattened(dU), e * dU.shape[1] + low * wide, wide, add,
        )  # fmt: skip
