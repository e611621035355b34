"""Convolutions of any size and stride on the CPU, by matrix products, a band of rows at a time.

No patch is ever laid out. In a padded picture the S*C numbers that row r of a kernel meets at output pixel q lie side by
side, and stride*C further on those of pixel q + 1. So a row of the output is a sum over r of matrix products whose left
side is the picture itself, read with rows that overlap; only the padding is a copy, a band of rows for each thread.
Three functions serve every layer:

    fprop    y[u,v] = sum over r,s of  x[u*stride + r, v*stride + s] @ w[r,s]
    dgrad    its adjoint. Output pixels of one parity (row and column modulo the stride) meet only every stride-th row
             and column of w, and are together an unstrided fprop with these taps of w.
    wgrad    dw[r,s] = sum over u,v of  x[u*stride + r, v*stride + s]^T @ dy[u,v]

x is read through maps: `rows[i]` is the source of row i of the padded picture, or -1 where it is zero.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from kernels.cpu.compiler import kernel, subroutine
from kernels.cpu.gemm import COLS, DEPTH, LANES, ROWS, flattened, multiply, whole
from kernels.cpu.linear import copy, copy_run
from kernels.cpu.threads import COUNT, MACS, Own, ready, scratch, share, zeros
from kernels.device import Array

f4 = np.float32
BAND = 1 << 17
"""Numbers of the padded picture and of the output that a thread works on at a time: half a megabyte."""
FEW = 8
"""With fewer output channels than this whole vectors of them would be mostly empty; see `_stamp`."""


@functools.lru_cache(1000)
def sources(size: int, padding: int, mode: str) -> Array:
    """For each row of a picture of `size` rows padded by `padding`: its source, or -1 for zero."""
    i = np.arange(-padding, size + padding)
    if mode == "reflect":
        i = abs(i)
        return np.where(i < size, i, 2 * size - 2 - i)
    return np.where((i >= 0) & (i < size), i, -1)


def fprop(
    x: Array, w: Array, b: Array | None, rows: Array, cols: Array, stride: int, out: Array, start: tuple[int, int] = (0, 0), step: int = 1
) -> None:  # fmt: skip
    """x [N,H,W,C] with w [R,S,C,K], b [K] -> pixels start, start + step, ... of out [N,P,Q,K]."""
    R, S, C, K = w.shape
    N = x.shape[0]
    P, Q = (len(range(o, n, step)) for o, n in zip(start, out.shape[1:3], strict=True))
    plain = b is None and K % LANES == 0
    b = zeros(K) if b is None else b
    work = N * P * Q * R * S * C * K // MACS
    if K < FEW <= C and stride == 1:
        # Each block of rows multiplies R - 1 rows that the next one multiplies again.
        lines = max(math.ceil(P / (2 * COUNT)), min(P, 4 * R))
        beside = packed(w[::-1].transpose(1, 2, 0, 3).reshape(1, 1, S * C, R * K))
        picture, tall = Own("picture", (len(cols) + ROWS) * C), (lines + 2 * R - 2) * K + whole(R * K, LANES) - R * K
        share(
            _stamp, N * math.ceil(P / lines), work, lines, x, beside, (R, S, K), b, rows, cols, picture,
            Own("sums", whole(Q, ROWS), tall), out, P, Q, start, step,
        )  # fmt: skip
        return
    wide, line = whole(K, LANES), len(cols) * C
    lines = max(1, min(BAND // (line * stride + whole(Q, ROWS) * wide), math.ceil(N * P / (2 * COUNT)), P))
    picture = Own("picture", ((lines - 1) * stride + R) * line + ROWS * stride * C + S * C)
    share(
        _fprop, N * math.ceil(P / lines), work, lines, x, packed(w), (R, S, K), b, plain, rows, cols, stride,
        picture, Own("sums", lines * whole(Q, ROWS), wide), out, P, Q, start, step,
    )  # fmt: skip


def packed(w: Array) -> Array:
    """w [R,S,C,K] in panels [K/COLS,R*S*C,COLS], the last filled with zeros."""
    K = w.shape[3]
    flat = ready(w).reshape(-1, K)
    if K == COLS:
        return flat.reshape(-1)
    out = scratch("panels", whole(K, COLS) * len(flat))
    share(_pack, len(flat), 2 * out.size, flat, out.reshape(-1, len(flat), COLS))
    return out


@kernel
def _pack(first, last, w, out):
    for k in range(first, last):
        for panel in range(out.shape[0]):
            for j in range(COLS):
                out[panel, k, j] = w[k, panel * COLS + j] if panel * COLS + j < w.shape[1] else f4(0)


def dgrad(x: Array, w: Array, b: Array | None, stride: int, padding: int, out: Array) -> None:
    """x [N,H,W,C] stamped with w [R,S,C,K], `stride` apart, `padding` pixels cut off -> out [N,P,Q,K]."""
    for start in np.ndindex(stride, stride):
        (r, rows), (s, cols) = (
            _parity(a, padding, stride, taps, n, m)
            for a, taps, n, m in zip(start, w.shape, x.shape[1:3], out.shape[1:3], strict=False)
        )
        met = w[r, s]
        if met.size:
            fprop(x, met, b, rows, cols, 1, out, start, stride)
        else:
            out[:, start[0] :: stride, start[1] :: stride] = 0 if b is None else b


@functools.lru_cache(1000)
def _parity(a: int, padding: int, stride: int, taps: int, size: int, length: int) -> tuple[slice, Array]:
    """The taps that meet output rows a, a + stride, ..., last one first, and the map of the input rows they read."""
    first = (a + padding) % stride
    count = len(range(first, taps, stride))
    offset = (a + padding) // stride - (count - 1)
    i = np.arange(offset, offset + len(range(a, length, stride)) + count - 1)
    backwards = slice(first + stride * (count - 1), first - 1 if first else None, -stride) if count else slice(0, 0)
    return backwards, np.where((i >= 0) & (i < size), i, -1)


def wgrad(x: Array, dy: Array, kernel: tuple[int, int], rows: Array, cols: Array, stride: int) -> Array:
    """x [N,H,W,C] and dy [N,P,Q,K] -> dw [R,S,C,K]."""
    (R, S), (N, P, Q, K), C = kernel, dy.shape, x.shape[3]
    if K % LANES:
        dy = np.pad(dy, ((0, 0), (0, 0), (0, 0), (0, -K % LANES)))
    wide, lines = whole(K, LANES), max(1, min(P, 2 * DEPTH // Q))
    splits = max(1, min(math.ceil(8 / R), N * math.ceil(P / lines)))  # by shape alone: the sums' order never changes
    partial = scratch("dw", splits, R, whole(S * C, ROWS), wide)
    picture = Own("picture", lines * len(cols) * C + ROWS)
    share(
        _wgrad,
        splits * R,
        N * P * Q * R * S * C * K // MACS,
        lines,
        x,
        dy,
        S * C,
        rows,
        cols,
        stride,
        picture,
        partial,
    )
    return partial[:, :, : S * C, :K].sum(axis=0).reshape(R, S, C, K)  # a copy, even of a single part


@subroutine
def _copy_row(x, n, row, cols, picture, at):
    """Row `row` of picture n, or zeros if it is negative, as wide as the padded picture -> picture[at:]"""
    C, width = x.shape[3], cols.size
    if row < 0:
        picture[at : at + width * C] = f4(0)
        return
    source, j = flattened(x), 0
    while j < width:  # columns that follow each other are one piece
        end = j + 1
        while end < width and cols[j] >= 0 and cols[end] == cols[end - 1] + 1:
            end += 1
        if cols[j] < 0:
            picture[at + j * C : at + end * C] = f4(0)
        else:
            copy_run(source, ((n * x.shape[1] + row) * x.shape[2] + cols[j]) * C, picture, at + j * C, (end - j) * C)
        j = end


@kernel
def _fprop(first, last, lines, x, w, shape, b, plain, rows, cols, stride, picture, sums, out, P, Q, start, step):
    """Each task makes `lines` rows of the output."""
    (R, S, K), C, wide, line = shape, x.shape[3], sums.shape[1], cols.size * x.shape[3]
    blocks, deep, apart = (P + lines - 1) // lines, R * S * C, whole(Q, ROWS)
    flat, every = flattened(sums), flattened(out)
    for task in range(first, last):
        n, top = task // blocks, task % blocks * lines
        count = min(lines, P - top)
        for i in range((count - 1) * stride + R):
            _copy_row(x, n, rows[top * stride + i], cols, picture, i * line)
        for panel in range((K + COLS - 1) // COLS):
            columns = min(COLS, K - panel * COLS)
            at = panel * deep * COLS
            if deep <= 2 * DEPTH:
                for p in range(count):
                    multiply(
                        Q, columns, R, S * C, picture, p * stride * line, stride * C, line, 1, w, at, 0, COLS,
                        flat, p * apart * wide + panel * COLS, wide, False,
                    )  # fmt: skip
                continue
            for r in range(R):
                for k in range(0, S * C, DEPTH):  # outside of p, so that a piece of w serves all lines
                    for p in range(count):
                        multiply(
                            Q, columns, 1, min(DEPTH, S * C - k), picture, (p * stride + r) * line + k, stride * C, 0, 1,
                            w, at + (r * S * C + k) * COLS, 0, COLS, flat, p * apart * wide + panel * COLS, wide, r + k > 0,
                        )  # fmt: skip
        for p in range(count):
            i = start[0] + (top + p) * step
            if plain:  # whole vectors, and nothing to add
                at = ((n * out.shape[1] + i) * out.shape[2] + start[1]) * K
                if step == 1:
                    copy(flat, p * apart * wide, 0, every, at, 0, Q * K)
                else:
                    for q in range(Q):
                        copy(flat, (p * apart + q) * wide, 0, every, at + q * step * K, 0, K)
                continue
            for q in range(Q):
                j = start[1] + q * step
                for c in range(K):
                    out[n, i, j, c] = sums[p * apart + q, c] + b[c]


@kernel
def _wgrad(first, last, lines, x, dy, depth, rows, cols, stride, picture, partial):
    """Each task sums x^T @ dy over its share of the rows, for one row of the kernel."""
    (N, P, Q, K), (splits, R) = dy.shape, partial.shape[:2]
    C, line, blocks = x.shape[3], cols.size * x.shape[3], (P + lines - 1) // lines
    flat, upstream = flattened(partial), flattened(dy)
    for task in range(first, last):
        split, r = task // R, task % R
        begin = N * blocks * split // splits
        for block in range(begin, N * blocks * (split + 1) // splits):
            n, top = block // blocks, block % blocks * lines
            count = min(lines, P - top)
            for i in range(count):
                _copy_row(x, n, rows[(top + i) * stride + r], cols, picture, i * line)
            multiply(
                depth, K, count, Q, picture, 0, 1, line, stride * C, upstream, (n * P + top) * Q * K, COLS, K,
                flat, (split * R + r) * partial.shape[2] * K, K, block > begin,
            )  # fmt: skip


@kernel
def _stamp(first, last, lines, x, w, shape, b, rows, cols, picture, sums, out, P, Q, start, step):
    """Few output channels: one product adds what a row of the picture gives to all R rows of the output that it meets.

    Their sums lie side by side, row i of the padded picture meets i..i+R-1 of them: sums [Q,(R-1 + lines + R-1)*K],
    and w [S*C,R*K] in panels, its last row first. Each task makes `lines` rows of the output.
    """
    (R, S, K), C = shape, x.shape[3]
    blocks = (P + lines - 1) // lines
    for task in range(first, last):
        n, top = task // blocks, task % blocks * lines
        count = min(lines, P - top)
        sums[:] = f4(0)
        for i in range(count + R - 1):
            if rows[top + i] >= 0:
                _copy_row(x, n, rows[top + i], cols, picture, 0)
                multiply(
                    Q, R * K, 1, S * C, picture, 0, C, 0, 1, w, 0, S * C * COLS, COLS,
                    flattened(sums), i * K, sums.shape[1], True,
                )  # fmt: skip
        for p in range(count):
            for q in range(Q):
                for k in range(K):
                    out[n, start[0] + (top + p) * step, start[1] + q * step, k] = sums[q, (p + R - 1) * K + k] + b[k]
