"""Winograd's convolution: 3x3 and 4x4 kernels at stride 1 with a quarter of the multiplications.

An m x m tile of the output needs a 6x6 patch d of the input: m = 4 for 3x3 kernels, 3 for 4x4. With three small
constant matrices

    Y = A^T [ (G w G^T) * (B^T d B) ] A            * element by element, then summed over the channels C

so that for each of the 36 elements the sum over channels is a matrix product [tiles,C] x [C,K]. The backward is the
adjoint, read from right to left: dM = A dY A^T; dV = dM U^T, dU = V^T dM; dx += B dV B^T, dw = G^T dU G.

The matrices belong to the points 0, 1, -1, 1/2, -2; docs/winograd.md derives them and measures their error. Below,
`_bt`, `_g`, `_at` and their transposes `_b`, `_gt`, `_a` apply them along one axis, with common terms taken together
and `three` (0 or 1) telling where the last point's column goes.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.device import Array
from kernels.gemm import gemm
from kernels.threads import MACS, kernel, scratch, share

f4 = np.float32

CHUNK = 1 << 23
"""Elements of V and M together that one round works on: 32 MB, about a last-level cache."""


def forward(x: Array, w: Array, rows: Array, cols: Array) -> Array:
    """x [N,H,W,C], w [R,R,C,K] with R 3 or 4 -> y [N,P,Q,K].

    rows, cols: for every row (column) of the padded picture, P+R-1 (Q+R-1) of them, its source in x or -1 for zero.
    """
    N, (C, K) = len(x), w.shape[2:]
    m = 7 - len(w)  # the side of a tile
    y = np.empty((N, len(rows) + m - 6, len(cols) + m - 6, K), f4)
    rows, cols, lines, across = _tiling(N, rows, cols, m)
    U = _transformed(w)
    for base, end in _rounds(lines, across, C + K):
        tiles = (end - base) * across
        V, M = scratch("V", 6, 6, tiles, C), scratch("M", 6, 6, tiles, K)
        share(_input, end - base, V.size, base, x, V, rows, cols, m)
        _products(0, 0, tiles, K, C, V, U, 0, M)
        share(_output, end - base, M.size, base, y, M, rows, cols, m)
    return y


def backward(
    dy: Array, x: Array, w: Array, rows: Array, cols: Array, need: tuple[bool, bool]
) -> tuple[Array | None, Array | None]:
    """dy [N,P,Q,K] and what forward had -> (dx, dw), None where not in `need`."""
    N, (C, K) = len(x), w.shape[2:]
    m = 7 - len(w)
    rows, cols, lines, across = _tiling(N, rows, cols, m)
    dx = np.zeros(x.shape, f4) if need[0] else None
    U = _transformed(w) if need[0] else None
    dU = scratch("dU", 6, 6, C, K)
    for base, end in _rounds(lines, across, C + K):
        tiles = (end - base) * across
        V, M = scratch("V", 6, 6, tiles, C), scratch("M", 6, 6, tiles, K)
        share(_output_adjoint, end - base, M.size, base, dy, M, rows, cols, m)
        if need[1]:
            share(_input, end - base, V.size, base, x, V, rows, cols, m)
            _products(1, 0, C, K, tiles, V, M, int(base > 0), dU)
        if need[0]:
            _products(0, 1, tiles, C, K, M, U, 0, V)
            # Tiles overlap by two rows: every second line of tiles, then the others, so that no two threads meet.
            for parity in (0, 1):
                share(_input_adjoint, (end - base + 1 - parity) // 2, V.size, base, parity, dx, V, rows, cols, m)
    if not need[1]:
        return dx, None
    dw = np.empty(w.shape, f4)
    share(_weight_adjoint, C, dU.size, dw, dU)
    return dx, dw


def _tiling(N: int, rows: Array, cols: Array, m: int) -> tuple[Array, Array, int, int]:
    """Maps lengthened to whole tiles with zeros, the lines of tiles in the batch, and the tiles in a line."""
    down, across = (math.ceil((len(sources) + m - 6) / m) for sources in (rows, cols))
    maps = [np.full(m * (n - 1) + 6, -1) for n in (down, across)]
    for longer, sources in zip(maps, (rows, cols), strict=True):
        longer[: len(sources)] = sources
    return maps[0], maps[1], N * down, across


def _rounds(lines: int, across: int, channels: int) -> list[tuple[int, int]]:
    """Ranges of lines of tiles, each with a CHUNK's worth of transformed values."""
    rounds = math.ceil(36 * lines * across * channels / CHUNK)
    step = math.ceil(lines / rounds)
    return [(first, min(first + step, lines)) for first in range(0, lines, step)]


def _transformed(w: Array) -> Array:
    """U [6,6,C,K] of w [R,R,C,K]."""
    U = scratch("U", 6, 6, *w.shape[2:])
    share(_weight, w.shape[2], U.size, w, U)
    return U


def _products(transpose_a: int, transpose_b: int, m: int, n: int, k: int, A: Array, B: Array, beta: int, out: Array) -> None:  # fmt: skip
    """The 36 matrix products out = op(A) op(B) + beta out, [m,k] x [k,n]; see kernels/gemm.py."""
    flat = (a.reshape(36, *a.shape[2:]) for a in (A, B, out))
    share(_product, 36, 36 * m * n * k // MACS, transpose_a, transpose_b, m, n, k, *flat, beta)


# -- one axis of one tile


@kernel
def _bt(d0, d1, d2, d3, d4, d5):
    p, q = d3 - d1, d4 - d2
    return (
        d0 + f4(1.5) * p - f4(2) * d2 + d4,
        f4(2.5) * d3 - d1 + f4(0.5) * d2 + d4,
        d1 - f4(2.5) * d2 + f4(0.5) * d3 + d4,
        q + f4(2) * p,
        q - f4(0.5) * p,
        d1 + f4(1.5) * q - f4(2) * d3 + d5,
    )


@kernel
def _b(v0, v1, v2, v3, v4, v5):
    return (
        v0,
        v2 - v1 - f4(1.5) * v0 - f4(2) * v3 + f4(0.5) * v4 + v5,
        f4(0.5) * v1 - f4(2) * v0 - f4(2.5) * v2 - v3 - v4 - f4(1.5) * v5,
        f4(1.5) * v0 + f4(2.5) * v1 + f4(0.5) * v2 + f4(2) * v3 - f4(0.5) * v4 - f4(2) * v5,
        v0 + v1 + v2 + v3 + v4 + f4(1.5) * v5,
        v5,
    )


@kernel
def _at(m0, m1, m2, m3, m4, m5, three):
    p, q = m1 + m2, m1 - m2
    return (
        m0 + p + m3 + m4,
        q + f4(0.5) * m3 - f4(2) * m4,
        p + f4(0.25) * m3 + f4(4) * m4 + three * m5,
        q + f4(0.125) * m3 - f4(8) * m4 + m5,
    )


@kernel
def _a(y0, y1, y2, y3, three):
    p, q = y0 + y2, y1 + y3
    return (
        y0,
        p + q,
        p - q,
        y0 + f4(0.5) * y1 + f4(0.25) * y2 + f4(0.125) * y3,
        y0 - f4(2) * y1 + f4(4) * y2 - f4(8) * y3,
        y3 + three * y2,
    )


@kernel
def _g(w0, w1, w2, w3, three):
    p, q = w0 + w2, w1 + w3
    return (
        w0,
        f4(1 / 3) * (p + q),
        f4(1 / 3) * (q - p),
        f4(-16 / 15) * w0 - f4(8 / 15) * w1 - f4(4 / 15) * w2 - f4(2 / 15) * w3,
        f4(1 / 15) * w0 - f4(2 / 15) * w1 + f4(4 / 15) * w2 - f4(8 / 15) * w3,
        w3 + three * w2,
    )


@kernel
def _gt(g0, g1, g2, g3, g4, g5, three):
    p, q = f4(1 / 3) * (g1 - g2), f4(1 / 3) * (g1 + g2)
    return (
        g0 + p - f4(16 / 15) * g3 + f4(1 / 15) * g4,
        q - f4(8 / 15) * g3 - f4(2 / 15) * g4,
        p - f4(4 / 15) * g3 + f4(4 / 15) * g4 + three * g5,
        q - f4(2 / 15) * g3 - f4(8 / 15) * g4 + g5,
    )


# -- one line of tiles (or of weights), all channels of a tile at a time; t counts tiles within this round


@kernel
def _input(first, last, base, x, V, rows, cols, m):
    """V = B^T d B"""
    C, across, down = x.shape[3], (cols.size - 6) // m + 1, (rows.size - 6) // m + 1
    d = np.empty((6, 6, C), f4)
    for line in range(base + first, base + last):
        n, top = line // down, line % down * m
        t = (line - base) * across
        for tile in range(across):
            for r in range(6):
                for s in range(6):
                    i, j = rows[top + r], cols[m * tile + s]
                    if i < 0 or j < 0:
                        for c in range(C):
                            d[r, s, c] = f4(0)
                    else:
                        for c in range(C):
                            d[r, s, c] = x[n, i, j, c]
            for s in range(6):
                for c in range(C):
                    (
                        d[0, s, c], d[1, s, c], d[2, s, c], d[3, s, c], d[4, s, c], d[5, s, c],
                    ) = _bt(d[0, s, c], d[1, s, c], d[2, s, c], d[3, s, c], d[4, s, c], d[5, s, c])  # fmt: skip
            for r in range(6):
                for c in range(C):
                    (
                        V[r, 0, t, c], V[r, 1, t, c], V[r, 2, t, c], V[r, 3, t, c], V[r, 4, t, c], V[r, 5, t, c],
                    ) = _bt(d[r, 0, c], d[r, 1, c], d[r, 2, c], d[r, 3, c], d[r, 4, c], d[r, 5, c])  # fmt: skip
            t += 1


@kernel
def _input_adjoint(first, last, base, parity, dx, V, rows, cols, m):
    """dx += B dV B^T"""
    C, across, down = dx.shape[3], (cols.size - 6) // m + 1, (rows.size - 6) // m + 1
    d = np.empty((6, 6, C), f4)
    for line in range(base + 2 * first + parity, base + 2 * last + parity, 2):
        n, top = line // down, line % down * m
        t = (line - base) * across
        for tile in range(across):
            for s in range(6):
                for c in range(C):
                    (
                        d[0, s, c], d[1, s, c], d[2, s, c], d[3, s, c], d[4, s, c], d[5, s, c],
                    ) = _b(V[0, s, t, c], V[1, s, t, c], V[2, s, t, c], V[3, s, t, c], V[4, s, t, c], V[5, s, t, c])  # fmt: skip
            for r in range(6):
                for c in range(C):
                    (
                        d[r, 0, c], d[r, 1, c], d[r, 2, c], d[r, 3, c], d[r, 4, c], d[r, 5, c],
                    ) = _b(d[r, 0, c], d[r, 1, c], d[r, 2, c], d[r, 3, c], d[r, 4, c], d[r, 5, c])  # fmt: skip
                for s in range(6):
                    i, j = rows[top + r], cols[m * tile + s]
                    if i >= 0 and j >= 0:
                        for c in range(C):
                            dx[n, i, j, c] += d[r, s, c]
            t += 1


@kernel
def _output(first, last, base, y, M, rows, cols, m):
    """Y = A^T M A; what lies beyond the picture is dropped"""
    (_, P, Q, K), across, down = y.shape, (cols.size - 6) // m + 1, (rows.size - 6) // m + 1
    d, three = np.empty((4, 6, K), f4), f4(m == 3)
    for line in range(base + first, base + last):
        n, top = line // down, line % down * m
        t = (line - base) * across
        for tile in range(across):
            for s in range(6):
                for c in range(K):
                    d[0, s, c], d[1, s, c], d[2, s, c], d[3, s, c] = _at(
                        M[0, s, t, c], M[1, s, t, c], M[2, s, t, c], M[3, s, t, c], M[4, s, t, c], M[5, s, t, c], three
                    )
            for r in range(min(m, P - top)):
                for c in range(K):
                    d[r, 0, c], d[r, 1, c], d[r, 2, c], d[r, 3, c] = _at(
                        d[r, 0, c], d[r, 1, c], d[r, 2, c], d[r, 3, c], d[r, 4, c], d[r, 5, c], three
                    )
                for s in range(min(m, Q - m * tile)):
                    for c in range(K):
                        y[n, top + r, m * tile + s, c] = d[r, s, c]
            t += 1


@kernel
def _output_adjoint(first, last, base, dy, M, rows, cols, m):
    """dM = A dY A^T"""
    (_, P, Q, K), across, down = dy.shape, (cols.size - 6) // m + 1, (rows.size - 6) // m + 1
    d, three = np.empty((6, 4, K), f4), f4(m == 3)
    for line in range(base + first, base + last):
        n, top = line // down, line % down * m
        t = (line - base) * across
        for tile in range(across):
            for r in range(4):
                for s in range(4):
                    i, j = top + r, m * tile + s
                    if r < m and s < m and i < P and j < Q:
                        for c in range(K):
                            d[r, s, c] = dy[n, i, j, c]
                    else:
                        for c in range(K):
                            d[r, s, c] = f4(0)
            for s in range(4):
                for c in range(K):
                    (
                        d[0, s, c], d[1, s, c], d[2, s, c], d[3, s, c], d[4, s, c], d[5, s, c],
                    ) = _a(d[0, s, c], d[1, s, c], d[2, s, c], d[3, s, c], three)  # fmt: skip
            for r in range(6):
                for c in range(K):
                    (
                        M[r, 0, t, c], M[r, 1, t, c], M[r, 2, t, c], M[r, 3, t, c], M[r, 4, t, c], M[r, 5, t, c],
                    ) = _a(d[r, 0, c], d[r, 1, c], d[r, 2, c], d[r, 3, c], three)  # fmt: skip
            t += 1


@kernel
def _weight(first, last, w, U):
    """U = G w G^T for the input channels first..last"""
    R, K = w.shape[0], w.shape[3]
    v, d, three = np.zeros((4, 4, K), f4), np.empty((6, 4, K), f4), f4(R == 3)
    for c in range(first, last):
        for r in range(R):
            for s in range(R):
                for k in range(K):
                    v[r, s, k] = w[r, s, c, k]
        for s in range(4):
            for k in range(K):
                (
                    d[0, s, k], d[1, s, k], d[2, s, k], d[3, s, k], d[4, s, k], d[5, s, k],
                ) = _g(v[0, s, k], v[1, s, k], v[2, s, k], v[3, s, k], three)  # fmt: skip
        for r in range(6):
            for k in range(K):
                (
                    U[r, 0, c, k], U[r, 1, c, k], U[r, 2, c, k], U[r, 3, c, k], U[r, 4, c, k], U[r, 5, c, k],
                ) = _g(d[r, 0, k], d[r, 1, k], d[r, 2, k], d[r, 3, k], three)  # fmt: skip


@kernel
def _weight_adjoint(first, last, dw, U):
    """dw = G^T dU G for the input channels first..last"""
    R, K = dw.shape[0], dw.shape[3]
    d, three = np.empty((4, 6, K), f4), f4(R == 3)
    for c in range(first, last):
        for s in range(6):
            for k in range(K):
                d[0, s, k], d[1, s, k], d[2, s, k], d[3, s, k] = _gt(
                    U[0, s, c, k], U[1, s, c, k], U[2, s, c, k], U[3, s, c, k], U[4, s, c, k], U[5, s, c, k], three
                )
        for r in range(R):
            for k in range(K):
                d[r, 0, k], d[r, 1, k], d[r, 2, k], d[r, 3, k] = _gt(
                    d[r, 0, k], d[r, 1, k], d[r, 2, k], d[r, 3, k], d[r, 4, k], d[r, 5, k], three
                )
            for s in range(R):
                for k in range(K):
                    dw[r, s, c, k] = d[r, s, k]


@kernel
def _product(first, last, transpose_a, transpose_b, m, n, k, A, B, out, beta):
    for i in range(first, last):
        gemm(transpose_a, transpose_b, m, n, k, A[i], A.shape[2], B[i], B.shape[2], beta, out[i], n)
