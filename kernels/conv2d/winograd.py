"""Winograd's convolution with a quarter of the multiplications at stride 1, and half to a third of them at stride 2.

An m x m tile of the output needs a 6x6 patch d of the input: m = 4 for 3x3 kernels, 3 for 4x4, 5 for 2x2. With three small
constant matrices (tiles.py)

    Y = A^T [ (G w G^T) * (B^T d B) ] A            * element by element, then summed over the channels C

so that for each of the 36 elements the sum over channels is a matrix product [tiles,C] x [C,K]. The backward is the
adjoint, read from right to left: dM = A dY A^T; dV = dM U^T, dU = V^T dM; dx += B dV B^T, dw = G^T dU G.

At stride 2 a pixel meets only the taps of its own parity. So the picture is read as four, each with every second row and
column, the kernel as four too, and what they give is summed like channels: a 4x4 (or 3x3) kernel with C channels at
stride 2 is a 2x2 kernel with 4 C channels at stride 1. Of 3x3 taps the odd parity has one where the even one has two; its
last row or column of transformed weights is 0, and is not multiplied (`_span`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from kernels.conv2d.direct import sources
from kernels.conv2d.tiles import outputs, outputs_adjoint, patches, patches_adjoint, weights, weights_adjoint
from kernels.device import Array
from kernels.gemm import COLS, LANES, ROWS, multiply, whole
from kernels.threads import Own, empty, kernel, scratch, share

f4 = np.float32

BAND = 36 << 15
"""Elements of V that a thread works on at a time: each of its 36 blocks takes 128 kB."""
CHUNK, SUMMED = 1 << 23, 1 << 21
"""Elements of V and M together that one round of a backward keeps: 32 MB for dx; for dw 8 MB, or as many as dU beside them."""
ENOUGH = 16
"""Channels on either side from which the transforms pay."""
BASE = 6
"""Tiles whose products take as long as transforming the weights."""


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


def forward(x: Array, w: Array, stride: int, padding: int, mode: str, turned: bool = False) -> Array:
    """x [N,H,W,C], w [R,R,C,K] with R 3 or 4 -> y [N,P,Q,K]; `turned`: w is [R,R,K,C], as transposed convolutions have it."""
    N, R, K = len(x), len(w), w.shape[2 if turned else 3]
    x = vectors(x)
    w, m = folded(w, x.shape[3], stride, turned), tile(R, stride)
    (rows, down, P), (cols, across, Q) = (_tiling(n, padding, mode, R, stride) for n in x.shape[1:3])
    y, lines = empty(N, P, Q, whole(K, LANES)), N * down
    deep, wide = stride * stride * x.shape[3], y.shape[3]
    band = _band(lines, across, deep)
    most = whole(band * across, ROWS)
    U, V, M = (
        Own("U", 36, distance(deep * COLS)),
        Own("V", 36, distance(most * deep)),
        Own("M", 36, distance(most * wide)),
    )
    work = 36 * lines * across * (deep + wide)
    share(_correlate, lines, work, band, x, w, turned, U, V, M, y, rows, cols, m, R % stride > 0)
    return y if wide == K else np.ascontiguousarray(y[..., :K])


def input_gradient(
    dy: Array, shape: tuple[int, ...], w: Array, stride: int, padding: int, mode: str, turned: bool = False
) -> Array:
    """dy [N,P,Q,K], w as in forward -> dx of shape [N,H,W,C]."""
    N, H, W, C = shape
    R, K = len(w), dy.shape[3]
    m, dy = tile(R, stride), vectors(dy)
    (rows, down, _), (cols, across, _) = (_tiling(n, padding, mode, R, stride) for n in (H, W))
    dx = np.zeros((N, H, W, whole(C, LANES)), f4)
    w, lines, wide, deep = folded(w, dx.shape[3], stride, turned), N * down, dy.shape[3], stride * stride * dx.shape[3]
    for base, end, work in _rounds(lines, across, deep + wide, CHUNK):
        U = Own("U", 36, distance(K * COLS))
        M = scratch("M", 36, distance(((end - base) * across + ROWS) * wide))
        dV = scratch("V", 36, distance((end - base) * (across + ROWS) * deep))
        starts = np.empty(end - base, np.int64)
        work = work if _apart(H, padding, mode, R, stride) else 0  # else in one thread
        share(
            _adjoint, end - base, work, base, dy, w, K, turned, U, M, dV, starts, dx, rows, cols, m, R % stride > 0
        )  # fmt: skip
        share(_scatter, end - base, work, base, 1, dV, starts, dx, rows, cols, m)
    return dx if dx.shape[3] == C else np.ascontiguousarray(dx[..., :C])


def weight_gradient(dy: Array, x: Array, shape: tuple[int, ...], stride: int, padding: int, mode: str) -> Array:
    """dy [N,P,Q,K], x [N,H,W,C] -> dw of shape [R,R,C,K]."""
    N, R, m = len(x), shape[0], tile(shape[0], stride)
    (rows, down, _), (cols, across, _) = (_tiling(n, padding, mode, R, stride) for n in x.shape[1:3])
    x, dy = vectors(x), vectors(dy)
    r, lines, wide, deep = math.ceil(R / stride), N * down, dy.shape[3], stride * stride * x.shape[3]
    dw, dU = np.empty((r, r, deep, shape[3]), f4), scratch("dU", 36, distance(whole(deep, ROWS) * wide))
    for base, end, work in _rounds(lines, across, deep + wide, max(SUMMED, 36 * deep * wide)):
        tiles = (end - base) * across
        V, M = scratch("V", 36, distance((tiles + 1) * deep)), scratch("M", 36, distance((tiles + ROWS) * wide))
        share(_both, end - base, work, base, dy, x, V, M, rows, cols, m)
        share(_products, 36, work, tiles, deep, V, M, wide, base > 0, dU, R % stride > 0)
    share(weights_adjoint, deep, dU.size, dw, dU, wide)
    return unfolded(dw, shape, stride)


def _rounds(lines: int, across: int, channels: int, most: int) -> Iterator[tuple[int, int, int]]:
    """The first line and the end of each round of a backward, and how many elements it works on: about `most`."""
    step = math.ceil(lines / math.ceil(36 * lines * across * channels / most))
    for base in range(0, lines, step):
        end = min(base + step, lines)
        yield base, end, 36 * (end - base) * across * channels


def tile(R: int, stride: int) -> int:
    """The side of a tile of the output."""
    return 7 - math.ceil(R / stride)


def folded(w: Array, channels: int, stride: int, turned: bool) -> Array:
    """w [R,R,C,K] -> [r,r,stride*stride*channels,K] with r = R / stride, rounded up: what tap and parity lack is 0.

    `turned`: [R,R,K,C] -> [r,r,K,stride*stride*channels].
    """
    axis = 3 if turned else 2
    if (channels, stride) == (w.shape[axis], 1):
        return w
    parts = np.zeros(
        (math.ceil(len(w) / stride),) * 2 + (*w.shape[2:axis], stride * stride, channels, *w.shape[axis + 1 :]), f4
    )
    for i, j in np.ndindex(*w.shape[:2]):
        at = block(i % stride, j % stride, stride)
        part = parts[i // stride, j // stride]
        (part[:, at, : w.shape[3]] if turned else part[at, : w.shape[2]])[...] = w[i, j]
    return parts.reshape(*parts.shape[:axis], -1, *w.shape[axis + 1 :])


def unfolded(w: Array, shape: tuple[int, ...], stride: int) -> Array:
    """The reverse of `folded`, for w of that shape [R,R,C,K]."""
    if w.shape == shape:
        return w
    out, parts = np.empty(shape, f4), w.reshape(*w.shape[:2], stride * stride, -1, w.shape[3])
    for i, j in np.ndindex(*shape[:2]):
        out[i, j] = parts[i // stride, j // stride, block(i % stride, j % stride, stride), : shape[2]]
    return out


@kernel
def block(a, b, stride):
    """Where the channels of rows of parity a and columns of parity b lie: those of b = 0 side by side, and of a = 0 too."""
    return (1 + a + b * (2 * a - 1)) * (stride - 1)


@kernel
def distance(size):
    """The distance of 36 blocks of `size` elements: an odd number of cache lines, for as a power of two it would let
    all 36 fall into one set of the cache, which holds a dozen lines."""
    return 16 * ((size + 15) // 16 // 2 * 2 + 1)


def vectors(x: Array) -> Array:
    """x [N,H,W,C] with its channels filled up by zeros to whole vectors; itself where they are whole."""
    return x if x.shape[3] % LANES == 0 else np.pad(x, ((0, 0), (0, 0), (0, 0), (0, -x.shape[3] % LANES)))


@functools.lru_cache(1000)
def _tiling(size: int, padding: int, mode: str, R: int, stride: int) -> tuple[Array, int, int]:
    """Along one axis of a picture: each parity's map [stride,n] (see direct.py), with zeros up to whole tiles; the tiles; the
    pixels of the output."""
    source, m = sources(size, padding, mode), tile(R, stride)
    out = (len(source) - R) // stride + 1
    tiles = math.ceil(out / m)
    maps = np.full((stride, m * (tiles - 1) + 6), -1)
    for a in range(stride):
        met = source[a::stride][: out + len(range(a, R, stride)) - 1]  # no tap meets those after
        maps[a, : len(met)] = met
    return maps, tiles, out


@functools.lru_cache(1000)
def _apart(size: int, padding: int, mode: str, R: int, stride: int) -> bool:
    """Whether every second line of tiles meets rows of its own. Deep mirrors can throw a last line beyond its neighbour."""
    rows, tiles, _ = _tiling(size, padding, mode, R, stride)
    m, first = tile(R, stride), dict[int, int]()
    return all(
        line - first.setdefault(row, line) < 2
        for line in range(tiles)
        for row in rows[:, m * line : m * line + 6].flat
        if row >= 0
    )


def _band(lines: int, across: int, channels: int) -> int:
    """Lines of tiles that one thread takes at a time: about a BAND's worth."""
    return max(1, min(lines, BAND // (36 * across * channels)))


# -- bands of lines of tiles, from one end to the other


@kernel
def _span(e, deep, narrow):
    """The channels of V that meet weights other than 0 in the e-th of 36 elements; `narrow`: odd parities lack their last tap"""
    if not narrow:
        return 0, deep
    even_rows, even_cols = e >= 30, e % 6 == 5
    return deep // 4 if even_cols else 0, deep // 4 * (2 if even_rows else 3 if even_cols else 4)


@kernel
def _correlate(first, last, band, x, w, turned, U, V, M, y, rows, cols, m, narrow):
    """y of the lines first..last, a band of them at a time"""
    K, stride = y.shape[3], rows.shape[0]
    across, C = (cols.shape[1] - 6) // m + 1, x.shape[3]
    deep = stride * stride * C
    bands = (last - first + band - 1) // band
    for i in range(bands):
        start, end = first + (last - first) * i // bands, first + (last - first) * (i + 1) // bands
        for line in range(start, end):
            for a in range(stride):
                for b in range(stride):
                    at = block(a, b, stride) * C
                    patches(line, (line - start) * across, x, V, at, deep, rows[a], cols[b], stride, m)
        for panel in range((K + COLS - 1) // COLS):
            weights(panel, w, turned, U)
            columns = min(COLS, K - panel * COLS)
            for e in range(36):
                low, high = _span(e, deep, narrow)
                multiply(
                    (end - start) * across, columns, 1, high - low, V.reshape(-1), e * V.shape[1] + low, deep, 0, 1,
                    U.reshape(-1), e * U.shape[1] + low * COLS, 0, COLS,
                    M.reshape(-1), e * M.shape[1] + panel * COLS, K, False,
                )  # fmt: skip
        for line in range(start, end):
            outputs(line, (line - start) * across, y, M, m)


@kernel
def _adjoint(first, last, base, dy, w, K, turned, U, M, dV, starts, dx, rows, cols, m, narrow):
    """Of the lines base + first .. base + last: M = A dY A^T and dV = M U^T; and half of them into dx"""
    wide, stride, across = dy.shape[3], rows.shape[0], (cols.shape[1] - 6) // m + 1
    deep, tiles = stride * stride * dx.shape[3], (last - first) * across
    for line in range(first, last):
        outputs_adjoint(base + line, line * across, dy, M, m)
    starts[first:last] = first
    to = _place(first, starts, across)
    for panel in range((deep + COLS - 1) // COLS):
        weights(panel, w, not turned, U)
        column, columns = panel * COLS, min(COLS, deep - panel * COLS)
        for e in range(36):
            low, high = _span(e, deep, narrow)
            if low < column + columns and column < high:
                multiply(
                    tiles, columns, 1, K, M.reshape(-1), e * M.shape[1] + first * across * wide, wide, 0, 1,
                    U.reshape(-1), e * U.shape[1], 0, COLS, dV.reshape(-1), e * dV.shape[1] + to * deep + column, deep, False,
                )  # fmt: skip
            else:
                for row in range(to, to + tiles):
                    dV[e, row * deep + column : row * deep + column + columns] = f4(0)
    _scatter(first, last, base, 0, dV, starts, dx, rows, cols, m)


@kernel
def _place(line, starts, across):
    """The place in dV of a line's first tile. Lines that were multiplied together, from starts[line] on, lie together; ROWS
    tiles for each leave room for the last rows that `multiply` writes."""
    return starts[line] * (across + ROWS) + (line - starts[line]) * across


@kernel
def _scatter(first, last, base, odd, dV, starts, dx, rows, cols, m):
    """dx += B dV B^T of every second of the lines base + first .. base + last: those meet no pixel of each other, so that two
    threads may add at once. First all even ones, then all odd ones, on any number of threads: so the bits are the same."""
    C, stride, across = dx.shape[3], rows.shape[0], (cols.shape[1] - 6) // m + 1
    for line in range(first + (base + first + odd) % 2, last, 2):
        t = _place(line, starts, across)
        for a in range(stride):
            for b in range(stride):
                at = block(a, b, stride) * C
                patches_adjoint(base + line, t, dx, dV, at, stride * stride * C, rows[a], cols[b], stride, m)


@kernel
def _both(first, last, base, dy, x, V, M, rows, cols, m):
    """V and M = A dY A^T of the lines base + first .. base + last"""
    C, stride, across = x.shape[3], rows.shape[0], (cols.shape[1] - 6) // m + 1
    for line in range(first, last):
        outputs_adjoint(base + line, line * across, dy, M, m)
        for a in range(stride):
            for b in range(stride):
                at = block(a, b, stride) * C
                patches(base + line, line * across, x, V, at, stride * stride * C, rows[a], cols[b], stride, m)


@kernel
def _products(first, last, tiles, deep, V, M, wide, add, dU, narrow):
    """dU = V^T M"""
    for e in range(first, last):
        low, high = _span(e, deep, narrow)
        multiply(
            high - low, wide, 1, tiles, V.reshape(-1), e * V.shape[1] + low, 1, 0, deep,
            M.reshape(-1), e * M.shape[1], COLS, wide, dU.reshape(-1), e * dU.shape[1] + low * wide, wide, add,
        )  # fmt: skip
