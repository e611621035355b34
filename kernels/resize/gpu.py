"""Resizing on the GPU: one kernel for nearest and bilinear, forward and backward.

Every output row is a weighted sum of a short run of input rows, and so for columns: y = A x B^T with banded A and B. A band
is a table of where each run starts and its weights. The backward is the same kernel with the bands of A^T and B^T.
Grid: one program for a run of pixels of one output row and a block of channels. Bytes: x and y once each; the overlap of
neighbouring runs is read from the cache.
"""

from __future__ import annotations

import functools

import numpy as np
import triton
import triton.language as tl

from kernels.device import Array, xp_of
from kernels.gpu.launch import contiguous, empty, launch
from kernels.resize.reference import interpolation


@triton.jit
def _resample(
    x, y, row_start, row_weight, column_start, column_weight, H, W, P, Q, C,
    ROW_TAPS: tl.constexpr, COLUMN_TAPS: tl.constexpr, BQ: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    """Program (i, b, n) owns BQ pixels of one row of image n of y, channels [b BC, (b + 1) BC): a sum over rows, then columns.

    x                     [N,H,W,C]
    y                     [N,P,Q,C], written
    row_start, row_weight [P] int32, [P,ROW_TAPS] float32: the first row of x that a row of y meets, and weights from there
    column_start, column_weight  [Q] int32, [Q,COLUMN_TAPS] float32: likewise
    H, W, P, Q, C         sizes of x and of y, pixels and channels
    ROW_TAPS, COLUMN_TAPS rows and columns of x that a pixel of y meets at most
    BQ, BC                pixels and channels of a program
    """
    q_blocks = tl.cdiv(Q, BQ)
    p = tl.program_id(0) // q_blocks
    q = tl.program_id(0) % q_blocks * BQ + tl.arange(0, BQ)  # [BQ]
    c = tl.program_id(1) * BC + tl.arange(0, BC)  # [BC]
    n = tl.program_id(2).to(tl.int64)
    total = tl.zeros((BQ, BC), tl.float32)  # [BQ,BC]
    first_row = tl.load(row_start + p)
    first_column = tl.load(column_start + q, mask=q < Q, other=0)  # [BQ]
    for i in range(ROW_TAPS):
        weight_i = tl.load(row_weight + p * ROW_TAPS + i)
        for j in range(COLUMN_TAPS):
            weight_j = tl.load(column_weight + q * COLUMN_TAPS + j, mask=q < Q, other=0.0)  # [BQ]
            # Shorter runs are filled up with weights of 0, whose pixels may lie outside: those are not read.
            there = ((weight_j != 0) & (weight_i != 0))[:, None] & (c < C)[None, :]  # [BQ,BC]
            at = ((first_row + i) * W + first_column + j)[:, None] * C + c[None, :]  # [BQ,BC]
            value = tl.load(x + n * H * W * C + at, mask=there, other=0.0).to(tl.float32)
            total += (weight_i * weight_j)[:, None] * value
    target = (p * Q + q)[:, None] * C + c[None, :]
    tl.store(y + n * P * Q * C + target, total, mask=(q < Q)[:, None] & (c < C)[None, :])


def forward(x: Array, *, size: tuple[int, int], mode: str) -> Array:
    H, W = x.shape[1:3]
    return _apply(x, size, [_band(xp_of(x), a, b, mode, False) for a, b in ((H, size[0]), (W, size[1]))])


def backward(dy: Array, *, input_size: tuple[int, int], mode: str) -> Array:
    P, Q = dy.shape[1:3]
    bands = [_band(xp_of(dy), a, b, mode, True) for a, b in ((input_size[0], P), (input_size[1], Q))]
    return _apply(dy, input_size, bands)


def _apply(x: Array, size: tuple[int, int], bands: list[tuple[Array, Array]]) -> Array:
    (x,) = contiguous(x)
    (N, H, W, C), (P, Q) = x.shape, size
    (row_start, row_weight), (column_start, column_weight) = bands
    y = empty(x, (N, P, Q, C))
    BC = min(triton.next_power_of_2(C), 64)
    BQ = 1024 // BC
    # Program (i, b, n) owns BQ pixels of one row of image n of y, channels [b BC, (b + 1) BC).
    launch(
        _resample, (P * triton.cdiv(Q, BQ), triton.cdiv(C, BC), N),
        x, y, row_start, row_weight, column_start, column_weight, H, W, P, Q, C,
        bytes=x.nbytes + y.nbytes, ROW_TAPS=row_weight.shape[1], COLUMN_TAPS=column_weight.shape[1], BQ=BQ, BC=BC,
    )  # fmt: skip
    return y


@functools.lru_cache(maxsize=64)
def _band(xp, n: int, m: int, mode: str, transposed: bool) -> tuple[Array, Array]:
    """First column [rows] and weights [rows,taps] of the matrix that resizes n samples to m, or of its transpose."""
    matrix = interpolation(n, m, mode)
    matrix = matrix.T if transposed else matrix
    used = matrix != 0
    start = used.argmax(axis=1)
    taps = int((np.where(used, np.arange(matrix.shape[1]), 0).max(axis=1) - start).max()) + 1
    columns = start[:, None] + np.arange(taps)
    weight = np.where(columns < matrix.shape[1], matrix[np.arange(len(start))[:, None], columns % matrix.shape[1]], 0)
    return xp.asarray(start.astype(np.int32)), xp.asarray(weight.astype(np.float32))
