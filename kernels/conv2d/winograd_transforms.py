"""Winograd's transforms: the three small matrices of winograd.py, applied to one line of tiles at a time.

The matrices belong to the points 0, 1, -1, 1/2, -2; docs/winograd.md derives them and measures their error. Below, `_bt`, `_g`,
`_at` and their transposes `_b`, `_gt`, `_a` apply them along one axis, to a run of channels at once.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.conv2d.winograd_layout import block
from kernels.cpu.compiler import kernel, subroutine
from kernels.cpu.gemm import COLS, LANES, flattened
from kernels.cpu.linear import copy, linear, transpose
from kernels.device import Array

f4 = np.float32

TOGETHER = 8
"""Rows of a panel of weights transformed together, so that what is written lies in runs of some size."""
POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)


@subroutine
def aligned(size):
    """Uninitialised numbers that start at a cache line, as kernels.cpu.threads.empty gives them, for compiled code."""
    buffer = np.empty(size + 15, np.float32)
    skipped = -(buffer.ctypes.data // 4) % 16
    return buffer[skipped : skipped + size]


def matrices(R: int) -> tuple[Array, Array, Array]:
    """B^T [6,6], G [6,R] and A^T [7-R,6] for kernels of R taps, as docs/winograd.md derives them."""
    others = [[q for q in POINTS if q != p] for p in POINTS]
    bt = [np.append(np.poly(rest)[::-1], 0) for rest in others] + [np.poly(POINTS)[::-1]]
    f = [math.prod(p - q for q in rest) for p, rest in zip(POINTS, others, strict=True)]
    g = [[p**i / fp for i in range(R)] for p, fp in zip(POINTS, f, strict=True)] + [np.eye(R)[-1]]
    at = [[p**i for p in POINTS] + [float(i == 6 - R)] for i in range(7 - R)]
    return np.array(bt), np.array(g), np.array(at)


(BT, G2, AT5), (_, G3, AT4), (_, G4, AT3) = matrices(2), matrices(3), matrices(4)
_bt, _b, _b_add = linear(BT), linear(BT.T), linear(BT.T, add=True)
_add = linear(np.eye(1), add=True)
_g2, _g3, _g4, _gt2, _gt3, _gt4 = (linear(g) for g in (G2, G3, G4, G2.T, G3.T, G4.T))
_at5, _at4, _at3, _a5, _a4, _a3 = (linear(a) for a in (AT5, AT4, AT3, AT5.T, AT4.T, AT3.T))


@subroutine
def _g(R, x, x_at, x_step, y, y_at, y_step, count):
    """y = G x, of R taps"""
    if R == 2:
        _g2(x, x_at, x_step, y, y_at, y_step, count)
    elif R == 3:
        _g3(x, x_at, x_step, y, y_at, y_step, count)
    else:
        _g4(x, x_at, x_step, y, y_at, y_step, count)


@subroutine
def _gt(R, x, x_at, x_step, y, y_at, y_step, count):
    """y = G^T x, R taps"""
    if R == 2:
        _gt2(x, x_at, x_step, y, y_at, y_step, count)
    elif R == 3:
        _gt3(x, x_at, x_step, y, y_at, y_step, count)
    else:
        _gt4(x, x_at, x_step, y, y_at, y_step, count)


@subroutine
def _at(m, x, x_at, x_step, y, y_at, y_step, count):
    """y = A^T x, m outputs"""
    if m == 5:
        _at5(x, x_at, x_step, y, y_at, y_step, count)
    elif m == 4:
        _at4(x, x_at, x_step, y, y_at, y_step, count)
    else:
        _at3(x, x_at, x_step, y, y_at, y_step, count)


@subroutine
def _a(m, x, x_at, x_step, y, y_at, y_step, count):
    """y = A x, of m outputs"""
    if m == 5:
        _a5(x, x_at, x_step, y, y_at, y_step, count)
    elif m == 4:
        _a4(x, x_at, x_step, y, y_at, y_step, count)
    else:
        _a3(x, x_at, x_step, y, y_at, y_step, count)


# -- one line of tiles, all channels of a tile at a time; its first tile is the t-th of V and M


@subroutine
def patches(line, t, x, V, lay):
    """V = B^T d B; channels of one parity lie together"""
    (_, H, W, C), stride = x.shape, lay.stride
    d, nothing, deep = aligned(36 * C), np.zeros(C, f4), stride * stride * C
    x_flat, V_flat, step = flattened(x), flattened(V), V.shape[1]
    n, top = line // lay.down, line % lay.down * lay.m
    for parity in range(stride * stride):
        a, b = parity // stride, parity % stride
        rows, cols, to = lay.rows[a], lay.cols[b], t * deep + block(a, b, stride) * C
        whole_rows = rows[top] >= 0 and rows[top + 5] - rows[top] == 5 * stride
        for tile in range(lay.across):
            for s in range(6):
                j = cols[lay.m * tile + s]
                if whole_rows and j >= 0:
                    _bt(x_flat, ((n * H + rows[top]) * W + j) * C, stride * W * C, d, s * C, 6 * C, C)
                    continue
                for r in range(6):
                    i = rows[top + r]
                    if i < 0 or j < 0:
                        copy(nothing, 0, 0, d, (6 * r + s) * C, 0, C)
                    else:
                        copy(x_flat, ((n * H + i) * W + j) * C, 0, d, (6 * r + s) * C, 0, C)
                _bt(d, s * C, 6 * C, d, s * C, 6 * C, C)
            for r in range(6):
                _bt(d, 6 * r * C, C, V_flat, 6 * r * step + to + tile * deep, step, C)


@subroutine
def patches_adjoint(line, t, dx, V, at, deep, rows, cols, apart, m):
    """dx += B dV B^T"""
    (_, H, W, C), across, down = dx.shape, (cols.size - 6) // m + 1, (rows.size - 6) // m + 1
    d = aligned(36 * C)
    dx_flat, V_flat, step = flattened(dx), flattened(V), V.shape[1]
    n, top = line // down, line % down * m
    for tile in range(across):
        for s in range(6):
            _b(V_flat, s * step + (t + tile) * deep + at, 6 * step, d, s * C, 6 * C, C)
        left = cols[m * tile]
        whole_row = left >= 0 and cols[m * tile + 5] - left == 5 * apart
        for r in range(6):
            i = rows[top + r]
            if i >= 0 and whole_row:
                _b_add(d, 6 * r * C, C, dx_flat, ((n * H + i) * W + left) * C, apart * C, C)
            elif i >= 0:
                _b(d, 6 * r * C, C, d, 6 * r * C, C, C)
                for s in range(6):
                    j = cols[m * tile + s]
                    if j >= 0:
                        _add(d, (6 * r + s) * C, 0, dx_flat, ((n * H + i) * W + j) * C, 0, C)


@subroutine
def outputs(line, t, y, M, m):
    """Y = A^T M A; what lies beyond the picture is dropped"""
    _, P, Q, K = y.shape
    down, across = (P + m - 1) // m, (Q + m - 1) // m
    d = aligned(6 * m * K)
    y_flat, M_flat, step = flattened(y), flattened(M), M.shape[1]
    n, top = line // down, line % down * m
    for tile in range(across):
        for s in range(6):
            _at(m, M_flat, s * step + (t + tile) * K, 6 * step, d, s * K, 6 * K, K)
        for r in range(min(m, P - top)):
            left = m * tile
            at = ((n * P + top + r) * Q + left) * K
            if left + m <= Q:
                _at(m, d, 6 * r * K, K, y_flat, at, K, K)
            else:
                _at(m, d, 6 * r * K, K, d, 6 * r * K, K, K)
                for s in range(Q - left):
                    copy(d, (6 * r + s) * K, 0, y_flat, at + s * K, 0, K)


@subroutine
def outputs_adjoint(line, t, dy, M, m, tiles):
    """dM = A dY A^T; in panels of COLS channels, `tiles` rows each, unless that is 0"""
    _, P, Q, K = dy.shape
    down, across = (P + m - 1) // m, (Q + m - 1) // m
    d, nothing, width = aligned(6 * m * K), np.zeros(K, f4), COLS if tiles else K
    dy_flat, M_flat, step = flattened(dy), flattened(M), M.shape[1]
    n, top = line // down, line % down * m
    for tile in range(across):
        for s in range(m):
            j = m * tile + s
            at, apart, source = ((n * P + top) * Q + j) * K, Q * K, dy_flat
            if top + m > P or j >= Q:
                for r in range(m):
                    if top + r < P and j < Q:
                        copy(dy_flat, at + r * Q * K, 0, d, (m * r + s) * K, 0, K)
                    else:
                        copy(nothing, 0, 0, d, (m * r + s) * K, 0, K)
                at, apart, source = s * K, m * K, d
            _a(m, source, at, apart, d, s * K, m * K, K)
        for k in range(0, K, width):
            to, columns = k * tiles + (t + tile) * width, min(width, K - k)
            for r in range(6):
                _a(m, d, m * r * K + k, K, M_flat, 6 * r * step + to, step, columns)


# -- weights


@subroutine
def weights(panel, w, turned, made, U):
    """U = G w G^T, one panel of it [36,C*COLS], unless it is made; or, `turned`, of w with its two channels exchanged. It,
    flat, is in one of the places that U has."""
    R, _, C, K = w.shape
    place = flattened(U[panel % U.shape[0]])
    if made:
        return place
    tap = C * K  # how far apart two taps lie in w
    if turned:
        C, K = K, C
    columns, together = min(COLS, K - panel * COLS), LANES if turned else TOGETHER
    run = together * COLS
    w_flat, v, d, step = flattened(w), aligned(R * R * run), aligned(6 * R * run), U.shape[2]
    v[:] = f4(0)
    for c in range(0, C, together):
        rows = min(together, C - c)
        for t in range(R * R):
            if turned and rows == LANES and columns % LANES == 0:
                for k in range(0, columns, LANES):
                    transpose(w_flat, t * tap + (panel * COLS + k) * C + c, C, v, t * run + k, COLS)
            elif columns == COLS and not turned:
                for i in range(rows):
                    copy(w_flat, t * tap + (c + i) * K + panel * COLS, 0, v, t * run + i * COLS, 0, COLS)
            else:
                down, along = (1, C) if turned else (K, 1)
                for i in range(rows):
                    for k in range(columns):
                        v[t * run + i * COLS + k] = w_flat[t * tap + (c + i) * down + (panel * COLS + k) * along]
        _g(R, v, 0, R * run, d, 0, R * run, R * run)
        for r in range(6):
            _g(R, d, R * r * run, run, place, 6 * r * step + c * COLS, step, rows * COLS)
    return place


@kernel
def weights_adjoint(first, last, dw, dU, wide):
    """dw = G^T dU G for the input channels first..last"""
    R, _, _, K = dw.shape
    flat, dU_flat, step = aligned(6 * R * wide), flattened(dU), dU.shape[1]
    d = flat.reshape(R, 6, wide)
    for c in range(first, last):
        for s in range(6):
            _gt(R, dU_flat, s * step + c * wide, 6 * step, flat, s * wide, 6 * wide, wide)
        for r in range(R):
            _gt(R, flat, 6 * r * wide, wide, flat, 6 * r * wide, wide, wide)
            for s in range(R):
                for k in range(K):
                    dw[r, s, c, k] = d[r, s, k]
