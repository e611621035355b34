"""Winograd's convolution: 3x3 and 4x4 kernels at stride 1 with a quarter of the multiplications.

An m x m tile of the output needs a 6x6 patch d of the input: m = 4 for 3x3 kernels, 3 for 4x4. With three small
constant matrices

    Y = A^T [ (G w G^T) * (B^T d B) ] A            * element by element, then summed over the channels C

so that for each of the 36 elements the sum over channels is a matrix product [tiles,C] x [C,K]. The backward is the
adjoint, read from right to left: dM = A dY A^T; dV = dM U^T, dU = V^T dM; dx += B dV B^T, dw = G^T dU G.

The matrices belong to the points 0, 1, -1, 1/2, -2; docs/winograd.md derives them and measures their error. Below,
`_bt`, `_g`, `_at` and their transposes `_b`, `_gt`, `_a` apply them along one axis, to a run of channels at once.
"""

from __future__ import annotations

import math

import numpy as np

from kernels.device import Array
from kernels.gemm import COLS, LANES, ROWS, multiply, whole
from kernels.linear import copy, linear
from kernels.threads import COUNT, Own, aligned, empty, kernel, scratch, share

f4 = np.float32

BAND = 36 << 15
"""Elements of V that a thread works on at a time: each of its 36 blocks takes 128 kB."""
TOGETHER = 8
"""Rows of a panel of weights transformed together, so that what is written lies in runs of some size."""
CHUNK = 1 << 23
"""Elements of V and M together that one round of the backward keeps: 32 MB."""


def forward(x: Array, w: Array, rows: Array, cols: Array) -> Array:
    """x [N,H,W,C], w [R,R,C,K] with R 3 or 4 -> y [N,P,Q,K].

    rows, cols: for every row (column) of the padded picture, P+R-1 (Q+R-1) of them, its source in x or -1 for zero.
    """
    N, (C, K) = len(x), w.shape[2:]
    m = 7 - len(w)  # the side of a tile
    x = vectors(x)
    y = empty(N, len(rows) + m - 6, len(cols) + m - 6, whole(K, LANES))
    rows, cols, lines, across = _tiling(N, rows, cols, m)
    band = _band(lines, across, C, COUNT)
    work = 36 * lines * across * (C + K)
    most, deep, wide = whole(band * across, ROWS), whole(C, LANES), whole(K, LANES)
    share(
        _correlate, math.ceil(lines / band), work, band, x, C, transformed(w), Own("V", 36, stride(most * deep)),
        Own("M", 36, stride(most * wide)), y, rows, cols, m,
    )  # fmt: skip
    return y if y.shape[3] == K else np.ascontiguousarray(y[..., :K])


def backward(
    dy: Array, x: Array, w: Array, rows: Array, cols: Array, need: tuple[bool, bool]
) -> tuple[Array | None, Array | None]:
    """dy [N,P,Q,K] and what forward had -> (dx, dw), None where not in `need`."""
    N, (C, K) = len(x), w.shape[2:]
    m = 7 - len(w)
    rows, cols, lines, across = _tiling(N, rows, cols, m)
    x, dy = vectors(x), vectors(dy)
    dx, dw = np.zeros(x.shape if need[0] else (0,) * 4, f4), np.empty(w.shape if need[1] else (0,) * 4, f4)
    U = transformed(w, turned=True) if need[0] else scratch("U", 36, 0)
    deep, wide = whole(C, LANES), whole(K, LANES)
    dU = scratch("dU", 36, stride(whole(C, ROWS) * wide))
    rounds = math.ceil(36 * lines * across * (C + K) / CHUNK)
    step = math.ceil(lines / rounds)
    for base in range(0, lines, step):
        end = min(base + step, lines)
        tiles, work = (end - base) * across, 36 * (end - base) * across * (C + K)
        V = scratch("V", 36, stride((tiles + 1) * deep if need[1] else 0))
        M = scratch("M", 36, stride((tiles + ROWS) * wide))
        band = _band(end - base, across, C, 2 * COUNT)
        dV = Own("dV", 36, stride(whole(band * across, ROWS) * deep if need[0] else 0))
        # Bands overlap by a few rows: every second band, then the others, so that no two threads meet.
        for parity in (0, 1):
            count = (math.ceil((end - base) / band) + 1 - parity) // 2
            share(
                _adjoint, count, work, parity, band, base, end, dy, x, (C, K), U, V, M, dV, dx, need, rows, cols, m
            )  # fmt: skip
        if need[1]:
            share(_weights, 36, work, tiles, C, K, V, M, base > 0, dU)
    if need[1]:
        share(_weight_adjoint, C, dU.size, dw, dU, wide)
    return (dx if x.shape[3] == C else np.ascontiguousarray(dx[..., :C])) if need[0] else None, dw if need[1] else None


def transformed(w: Array, turned: bool = False) -> Array:
    """U = G w G^T of w [R,R,C,K] in panels [36, K/COLS x C x COLS]; `turned`: of w with C and K exchanged."""
    C, K = w.shape[:1:-1] if turned else w.shape[2:]
    U = scratch("U", 36, stride(C * whole(K, COLS)))
    share(_weight, whole(K, COLS) // COLS, U.size, w, turned, U)
    return U


@kernel
def stride(size):
    """The distance of 36 blocks of `size` elements: an odd number of cache lines, for as a power of two it would let
    all 36 fall into one set of the cache, which holds a dozen lines."""
    return 16 * ((size + 15) // 16 // 2 * 2 + 1)


def vectors(x: Array) -> Array:
    """x [N,H,W,C] with its channels filled up by zeros to whole vectors; itself where they are whole."""
    return x if x.shape[3] % LANES == 0 else np.pad(x, ((0, 0), (0, 0), (0, 0), (0, -x.shape[3] % LANES)))


def _tiling(N: int, rows: Array, cols: Array, m: int) -> tuple[Array, Array, int, int]:
    """Maps lengthened to whole tiles with zeros, the lines of tiles in the batch, and the tiles in a line."""
    down, across = (math.ceil((len(sources) + m - 6) / m) for sources in (rows, cols))
    maps = [np.full(m * (n - 1) + 6, -1) for n in (down, across)]
    for longer, sources in zip(maps, (rows, cols), strict=True):
        longer[: len(sources)] = sources
    return maps[0], maps[1], N * down, across


def _band(lines: int, across: int, channels: int, parts: int) -> int:
    """Lines of tiles that one thread takes at a time: about a BAND's worth, and as many bands for each of `parts`."""
    most = max(1, BAND // (36 * across * channels))
    return math.ceil(lines / (parts * math.ceil(lines / (parts * most))))


# -- the three matrices and their transposes, for kernels of 3 and 4 taps

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)


def matrices(R: int) -> tuple[Array, Array, Array]:
    """B^T [6,6], G [6,R] and A^T [7-R,6] for kernels of R taps, as docs/winograd.md derives them."""
    others = [[q for q in POINTS if q != p] for p in POINTS]
    bt = [np.append(np.poly(rest)[::-1], 0) for rest in others] + [np.poly(POINTS)[::-1]]
    f = [math.prod(p - q for q in rest) for p, rest in zip(POINTS, others, strict=True)]
    g = [[p**i / fp for i in range(R)] for p, fp in zip(POINTS, f, strict=True)] + [np.eye(R)[-1]]
    at = [[p**i for p in POINTS] + [float(i == 6 - R)] for i in range(7 - R)]
    return np.array(bt), np.array(g), np.array(at)


(BT, G3, AT4), (_, G4, AT3) = matrices(3), matrices(4)
_bt, _b, _b_add = linear(BT), linear(BT.T), linear(BT.T, add=True)
_add = linear(np.eye(1), add=True)
_g3, _g4, _gt3, _gt4 = linear(G3), linear(G4), linear(G3.T), linear(G4.T)
_at4, _at3, _a4, _a3 = linear(AT4), linear(AT3), linear(AT4.T), linear(AT3.T)


# -- bands of lines of tiles, from one end to the other


@kernel
def _correlate(first, last, band, x, C, U, V, M, y, rows, cols, m):
    """y of the bands first..last, from C of x's channels"""
    K = y.shape[3]
    lines, across = y.shape[0] * ((rows.size - 6) // m + 1), (cols.size - 6) // m + 1
    deep, wide = whole(C, LANES), whole(K, LANES)
    for i in range(first, last):
        start, end = i * band, min(lines, (i + 1) * band)
        for line in range(start, end):
            _input(line, (line - start) * across, x, V, deep, rows, cols, m)
        for e in range(36):
            multiply(
                (end - start) * across, K, 1, C, V.reshape(-1), e * V.shape[1], deep, 0, 1,
                U.reshape(-1), e * U.shape[1], C * COLS, COLS, M.reshape(-1), e * M.shape[1], wide, False,
            )  # fmt: skip
        for line in range(start, end):
            _output(line, (line - start) * across, y, M, wide, rows, cols, m)


@kernel
def _adjoint(first, last, parity, band, base, end, dy, x, channels, U, V, M, dV, dx, need, rows, cols, m):
    """Every second band's share of dx, and what the weights' gradient needs: V and M = A dY A^T"""
    C, K = channels
    across = (cols.size - 6) // m + 1
    deep, wide = whole(C, LANES), whole(K, LANES)
    for i in range(2 * first + parity, 2 * last + parity, 2):
        start, stop = base + i * band, min(end, base + (i + 1) * band)
        for line in range(start, stop):
            _output_adjoint(line, (line - base) * across, dy, M, wide, rows, cols, m)
            if need[1]:
                _input(line, (line - base) * across, x, V, deep, rows, cols, m)
        if need[0]:
            for e in range(36):
                multiply(
                    (stop - start) * across, C, 1, K, M.reshape(-1), e * M.shape[1] + (start - base) * across * wide,
                    wide, 0, 1, U.reshape(-1), e * U.shape[1], K * COLS, COLS,
                    dV.reshape(-1), e * dV.shape[1], deep, False,
                )  # fmt: skip
            for line in range(start, stop):
                _input_adjoint(line, (line - start) * across, dx, dV, deep, rows, cols, m)


@kernel
def _weights(first, last, tiles, C, K, V, M, add, dU):
    """dU = V^T M"""
    deep, wide = whole(C, LANES), whole(K, LANES)
    for e in range(first, last):
        multiply(
            C, K, 1, tiles, V.reshape(-1), e * V.shape[1], 1, 0, deep, M.reshape(-1), e * M.shape[1], COLS, wide,
            dU.reshape(-1), e * dU.shape[1], wide, add,
        )  # fmt: skip


# -- one line of tiles (or of weights), all channels of a tile at a time; its first tile is the t-th of V and M


@kernel
def _input(line, t, x, V, deep, rows, cols, m):
    """V = B^T d B"""
    (_, H, W, C), across, down = x.shape, (cols.size - 6) // m + 1, (rows.size - 6) // m + 1
    d, nothing = aligned(36 * deep), np.zeros(C, f4)
    x_flat, V_flat, step = x.reshape(-1), V.reshape(-1), V.shape[1]
    n, top = line // down, line % down * m
    whole_rows = rows[top] >= 0 and rows[top + 5] - rows[top] == 5
    for tile in range(across):
        for s in range(6):
            j = cols[m * tile + s]
            if whole_rows and j >= 0:
                _bt(x_flat, ((n * H + rows[top]) * W + j) * C, W * C, d, s * deep, 6 * deep, C)
                continue
            for r in range(6):
                i = rows[top + r]
                if i < 0 or j < 0:
                    copy(nothing, 0, 0, d, (6 * r + s) * deep, 0, C)
                else:
                    copy(x_flat, ((n * H + i) * W + j) * C, 0, d, (6 * r + s) * deep, 0, C)
            _bt(d, s * deep, 6 * deep, d, s * deep, 6 * deep, C)
        for r in range(6):
            _bt(d, 6 * r * deep, deep, V_flat, 6 * r * step + (t + tile) * deep, step, C)


@kernel
def _input_adjoint(line, t, dx, V, deep, rows, cols, m):
    """dx += B dV B^T"""
    (_, H, W, C), across, down = dx.shape, (cols.size - 6) // m + 1, (rows.size - 6) // m + 1
    d = aligned(36 * deep)
    dx_flat, V_flat, step = dx.reshape(-1), V.reshape(-1), V.shape[1]
    n, top = line // down, line % down * m
    for tile in range(across):
        for s in range(6):
            _b(V_flat, s * step + (t + tile) * deep, 6 * step, d, s * deep, 6 * deep, C)
        left = cols[m * tile]
        whole_row = left >= 0 and cols[m * tile + 5] - left == 5
        for r in range(6):
            i = rows[top + r]
            if i >= 0 and whole_row:
                _b_add(d, 6 * r * deep, deep, dx_flat, ((n * H + i) * W + left) * C, C, C)
            elif i >= 0:
                _b(d, 6 * r * deep, deep, d, 6 * r * deep, deep, C)
                for s in range(6):
                    j = cols[m * tile + s]
                    if j >= 0:
                        _add(d, (6 * r + s) * deep, 0, dx_flat, ((n * H + i) * W + j) * C, 0, C)


@kernel
def _output(line, t, y, M, wide, rows, cols, m):
    """Y = A^T M A; what lies beyond the picture is dropped"""
    (_, P, Q, K), across, down = y.shape, (cols.size - 6) // m + 1, (rows.size - 6) // m + 1
    d = aligned(24 * wide)
    y_flat, M_flat, step = y.reshape(-1), M.reshape(-1), M.shape[1]
    n, top = line // down, line % down * m
    for tile in range(across):
        for s in range(6):
            at = s * step + (t + tile) * wide
            if m == 4:
                _at4(M_flat, at, 6 * step, d, s * wide, 6 * wide, K)
            else:
                _at3(M_flat, at, 6 * step, d, s * wide, 6 * wide, K)
        for r in range(min(m, P - top)):
            left = m * tile
            at = ((n * P + top + r) * Q + left) * K
            if m == 4 and left + 4 <= Q:
                _at4(d, 6 * r * wide, wide, y_flat, at, K, K)
            elif m == 3 and left + 3 <= Q:
                _at3(d, 6 * r * wide, wide, y_flat, at, K, K)
            else:
                if m == 4:
                    _at4(d, 6 * r * wide, wide, d, 6 * r * wide, wide, K)
                else:
                    _at3(d, 6 * r * wide, wide, d, 6 * r * wide, wide, K)
                for s in range(Q - left):
                    copy(d, (6 * r + s) * wide, 0, y_flat, at + s * K, 0, K)


@kernel
def _output_adjoint(line, t, dy, M, wide, rows, cols, m):
    """dM = A dY A^T"""
    (_, P, Q, K), across, down = dy.shape, (cols.size - 6) // m + 1, (rows.size - 6) // m + 1
    d, nothing = aligned(24 * wide), np.zeros(K, f4)
    dy_flat, M_flat, step = dy.reshape(-1), M.reshape(-1), M.shape[1]
    n, top = line // down, line % down * m
    for tile in range(across):
        for s in range(m):
            j = m * tile + s
            at, apart, source = ((n * P + top) * Q + j) * K, Q * K, dy_flat
            if top + m > P or j >= Q:
                for r in range(m):
                    if top + r < P and j < Q:
                        copy(dy_flat, at + r * Q * K, 0, d, (4 * r + s) * wide, 0, K)
                    else:
                        copy(nothing, 0, 0, d, (4 * r + s) * wide, 0, K)
                at, apart, source = s * wide, 4 * wide, d
            if m == 4:
                _a4(source, at, apart, d, s * wide, 4 * wide, K)
            else:
                _a3(source, at, apart, d, s * wide, 4 * wide, K)
        for r in range(6):
            at = 6 * r * step + (t + tile) * wide
            if m == 4:
                _a4(d, 4 * r * wide, wide, M_flat, at, step, K)
            else:
                _a3(d, 4 * r * wide, wide, M_flat, at, step, K)


@kernel
def _weight(first, last, w, turned, U):
    """U = G w G^T in panels, first..last of them; or, `turned`, that of w with its two channels exchanged"""
    R, _, C, K = w.shape
    tap, along, across = C * K, K, 1  # how far apart two taps lie in w, two rows of a panel, two columns
    if turned:
        C, K, along, across = K, C, 1, K
    run = TOGETHER * COLS
    w_flat, v, d, U_flat, step = w.reshape(-1), aligned(16 * run), aligned(24 * run), U.reshape(-1), U.shape[1]
    v[:] = f4(0)
    for panel in range(first, last):
        columns = min(COLS, K - panel * COLS)
        for c in range(0, C, TOGETHER):
            rows = min(TOGETHER, C - c)
            for t in range(R * R):
                for i in range(rows):
                    at = t * tap + (c + i) * along + panel * COLS * across
                    to = (t // R * 4 + t % R) * run + i * COLS
                    if columns == COLS and not turned:
                        copy(w_flat, at, 0, v, to, 0, COLS)
                    else:
                        for k in range(columns):
                            v[to + k] = w_flat[at + k * across]
            if R == 3:
                _g3(v, 0, 4 * run, d, 0, 4 * run, 3 * run)
            else:
                _g4(v, 0, 4 * run, d, 0, 4 * run, 4 * run)
            for r in range(6):
                at = 6 * r * step + (panel * C + c) * COLS
                if R == 3:
                    _g3(d, 4 * r * run, run, U_flat, at, step, rows * COLS)
                else:
                    _g4(d, 4 * r * run, run, U_flat, at, step, rows * COLS)


@kernel
def _weight_adjoint(first, last, dw, dU, wide):
    """dw = G^T dU G for the input channels first..last"""
    R, _, _, K = dw.shape
    flat, dU_flat, step = aligned(24 * wide), dU.reshape(-1), dU.shape[1]
    d = flat.reshape(4, 6, wide)
    for c in range(first, last):
        for s in range(6):
            if R == 3:
                _gt3(dU_flat, s * step + c * wide, 6 * step, flat, s * wide, 6 * wide, wide)
            else:
                _gt4(dU_flat, s * step + c * wide, 6 * step, flat, s * wide, 6 * wide, wide)
        for r in range(R):
            if R == 3:
                _gt3(flat, 6 * r * wide, wide, flat, 6 * r * wide, wide, wide)
            else:
                _gt4(flat, 6 * r * wide, wide, flat, 6 * r * wide, wide, wide)
            for s in range(R):
                for k in range(K):
                    dw[r, s, c, k] = d[r, s, k]
