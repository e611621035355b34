"""The gradient of a convolution over a mirrored picture, as a gather from rows of sums.

A pixel h of x that was copied to the margin has sent its value through the copy as well, so it collects twice: at tap
offset d = padding - r from row h + d of dy, and for the copy from row d - h (near the first row; near the last the same,
counted from there). Scattering that, or adding it afterwards, would need another launch. Instead the sum of the two rows
is made once and stands behind the picture as a further row; columns and corners (sums of four) likewise:

         Q columns   E columns                E = padding (padding + 1):
       +-----------+-----+                    a row for each pair (h, d) with 1 <= h <= d <= padding, near and far
    P  | dy        |sums |
       +-----------+-----+                    So an extended gradient is [N,P+E,Q+E,K]. With padding 1, as in a residual
    E  | sums            |                    layer, it has 6 % more pixels.
       +-----------------+

Then dx[h] = sum over taps of w times what `meeting` finds, and `spread` is one launch that writes every element once.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.launch import empty, launch

BM = 32


@triton.jit
def meeting(h, d, H, P, PAD: tl.constexpr, R: tl.constexpr):
    """The row (of P and those behind them) that pixel row h of H meets at offset d, and whether there is one."""
    far, back = H - 1 - h, 2 * PAD - R + 1 - d  # the same pair, seen from the last row
    row = h + d
    there = (row >= 0) & (row < P)
    is_near, is_far = (h >= 1) & (h <= d), (far >= 1) & (far <= back)
    row = tl.where(is_near, P + d * (d - 1) // 2 + h - 1, row)
    row = tl.where(is_far, P + PAD * (PAD + 1) // 2 + back * (back - 1) // 2 + far - 1, row)
    return row, there | is_near | is_far


@triton.jit
def source(i, P, PAD: tl.constexpr, second: tl.constexpr):
    """The first or second of the rows whose sum is row i, and whether there is one; a row of dy is its own first."""
    PAIRS: tl.constexpr = PAD * (PAD + 1) // 2
    is_far = i - P >= PAIRS
    pair = tl.where(is_far, i - P - PAIRS, i - P)  # d (d - 1) / 2 + h - 1
    d = tl.where(pair >= 0, 1, 1)
    for step in tl.static_range(1, PAD):
        d += tl.where(pair >= step * (step + 1) // 2, 1, 0)
    h = pair - d * (d - 1) // 2 + 1
    row = d - h if second else d + h
    row = tl.where(is_far, P - 1 - row, row)
    row = tl.where(i < P, -1 if second else i, row)
    return row, (row >= 0) & (row < P)


@triton.jit
def margin_pixel(m, P, Q, PAD: tl.constexpr):
    """Pixel m (i, j) of those beside and below dy: first the ones beside it, row by row, then the rows below."""
    below, width = m - P * PAD * (PAD + 1), Q + PAD * (PAD + 1)
    i = tl.where(below < 0, m // (PAD * (PAD + 1)), P + below // width)
    return i, tl.where(below < 0, Q + m % (PAD * (PAD + 1)), below % width)


@triton.jit
def _extend(dy, y, P, Q, K, size, PAD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    k = tl.program_id(1) * BN + tl.arange(0, BN)
    n = tl.program_id(2).to(tl.int64)
    width = Q + PAD * (PAD + 1)
    total = tl.zeros((BM, BN), tl.float32)
    for a in tl.static_range(2):
        row, row_is = source(m // width, P, PAD, a)
        for b in tl.static_range(2):
            column, column_is = source(m % width, Q, PAD, b)
            there = (row_is & column_is & (m < size))[:, None] & (k < K)[None, :]
            at = n * P * Q * K + (row * Q + column)[:, None] * K + k[None, :]
            total += tl.load(dy + at, mask=there, other=0.0).to(tl.float32)
    tl.store(y + n * size * K + m[:, None] * K + k[None, :], total, mask=(m < size)[:, None] & (k < K)[None, :])


def extended(dy: Array, padding: int) -> Array:
    """A gradient dy [N,P,Q,K] with its sums [N,P+E,Q+E,K], for a convolution that mirrored `padding` pixels."""
    N, P, Q, K = dy.shape
    y = empty(dy, extended_shape(dy.shape, padding))
    size, BN = y.shape[1] * y.shape[2], min(64, triton.next_power_of_2(K))
    # Program (t, k, n) owns 32 pixels of the extended image n, channels [k BN, (k + 1) BN), each the sum of up to four.
    grid = (triton.cdiv(size, BM), triton.cdiv(K, BN), N)
    launch(_extend, grid, dy, y, P, Q, K, size, PAD=padding, BM=BM, BN=BN)
    return y


def extended_shape(shape: tuple[int, ...], padding: int) -> tuple[int, ...]:
    """[N,P+E,Q+E,K] of [N,P,Q,K]."""
    N, P, Q, K = shape
    more = padding * (padding + 1)
    return N, P + more, Q + more, K


def fits(kernel: tuple[int, ...], padding: int, stride: int) -> bool:
    """Whether a mirrored convolution can go back this way: at one offset, no pixel meets sums of both ends."""
    return stride == 1 and min(kernel) >= 2 * padding
