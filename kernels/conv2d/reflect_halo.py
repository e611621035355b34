"""The gradient of a convolution over a mirrored picture, as a gather: the reflect halo, rows and columns of sums behind dy.

A pixel h of x that was mirrored into the padding has sent its value through the copy as well, so it collects twice: at tap
offset d = padding - r from row h + d of dy, and for the copy from row d - h (near the first row; near the last the same,
counted from there). Scattering that, or adding it afterwards, would need another launch. Instead the sum of the two rows
is made once and stands behind dy as a further row; columns and corners (sums of four) likewise:

         Q columns   E columns                E = padding (padding + 1):
       +-----------+-----+                    a row for each pair (h, d) with 1 <= h <= d <= padding, near and far
    P  | dy        |sums |
       +-----------+-----+                    So dy with its halo is [N,P+E,Q+E,K]. With padding 1, as in a residual
    E  | sums            |                    layer, it has 6 % more pixels.
       +-----------------+

Five rows under a kernel of three, padding 1: halo row 5 holds dy[0] + dy[2], row 6 dy[2] + dy[4], and dx[h] meets the rows

    h       tap 0   tap 1   tap 2
    0         1       0       -
    1         5       1       0        row 1 was mirrored to row -1, which only tap 0 of output row 0 has seen
    2         3       2       1
    3         4       3       6
    4         -       4       3

Then dx[h] = sum over taps of w times what `meeting` finds, and dgrad is one launch that writes every element once.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.conv2d.geometry import Geometry
from kernels.device import Array
from kernels.gpu.launch import empty, launch

BM = 32


@triton.jit
def meeting(h, d, H, P, PAD: tl.constexpr, R: tl.constexpr):
    """The row (of P and the halo behind them) that pixel row h of H meets at offset d, and whether there is one."""
    far, back = H - 1 - h, 2 * PAD - R + 1 - d  # the same pair, seen from the last row
    row = h + d
    there = (row >= 0) & (row < P)
    is_near, is_far = (h >= 1) & (h <= d), (far >= 1) & (far <= back)
    row = tl.where(is_near, P + d * (d - 1) // 2 + h - 1, row)
    row = tl.where(is_far, P + PAD * (PAD + 1) // 2 + back * (back - 1) // 2 + far - 1, row)
    return row, there | is_near | is_far


@triton.jit
def addend(i, P, PAD: tl.constexpr, second: tl.constexpr):
    """The first or second of the rows of dy whose sum is row i, and if there is one; a row of dy is its own first."""
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
def halo_pixel(m, P, Q, PAD: tl.constexpr):
    """Pixel m (i, j) of the halo: first those beside dy, row by row, then the rows below."""
    below, width = m - P * PAD * (PAD + 1), Q + PAD * (PAD + 1)
    i = tl.where(below < 0, m // (PAD * (PAD + 1)), P + below // width)
    return i, tl.where(below < 0, Q + m % (PAD * (PAD + 1)), below % width)


@triton.jit
def _add_halo(dy, y, P, Q, K, size, PAD: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr):
    """Program (t, j, n) owns BM pixels and channels [j BN, (j + 1) BN) of image n of y; four addends, in float32.

    dy     [N,P,Q,K]                    y      [N,P+E,Q+E,K], written: dy, and its halo
    P, Q   rows and columns of dy       K      channels                 size   (P+E) (Q+E), pixels
    PAD    pixels that were mirrored    BM, BN pixels and channels of a tile
    """
    m = tl.program_id(0) * BM + tl.arange(0, BM)  # [BM]
    k = tl.program_id(1) * BN + tl.arange(0, BN)  # [BN]
    n = tl.program_id(2).to(tl.int64)
    width = Q + PAD * (PAD + 1)
    total = tl.zeros((BM, BN), tl.float32)  # [BM,BN]
    for a in tl.static_range(2):
        row, row_is = addend(m // width, P, PAD, a)  # [BM]
        for b in tl.static_range(2):
            column, column_is = addend(m % width, Q, PAD, b)  # [BM]
            there = (row_is & column_is & (m < size))[:, None] & (k < K)[None, :]  # [BM,BN]
            at = n * P * Q * K + (row * Q + column)[:, None] * K + k[None, :]  # [BM,BN]
            total += tl.load(dy + at, mask=there, other=0.0).to(tl.float32)
    tl.store(y + n * size * K + m[:, None] * K + k[None, :], total, mask=(m < size)[:, None] & (k < K)[None, :])


def with_halo(dy: Array, padding: int) -> Array:
    """A gradient dy [N,P,Q,K] and its halo [N,P+E,Q+E,K], for a convolution that mirrored `padding` pixels."""
    N, P, Q, K = dy.shape
    y = empty(dy, halo_shape(dy.shape, padding))
    size, BN = y.shape[1] * y.shape[2], min(64, triton.next_power_of_2(K))
    # Program (t, j, n) owns 32 pixels of image n of y, channels [j BN, (j + 1) BN), each the sum of up to four.
    grid = (triton.cdiv(size, BM), triton.cdiv(K, BN), N)
    launch(_add_halo, grid, dy, y, P, Q, K, size, PAD=padding, BM=BM, BN=BN)
    return y


def halo_rows(padding: int) -> int:
    """E, the rows (and columns) of a halo."""
    return padding * (padding + 1)


def halo_shape(shape: tuple[int, ...], padding: int) -> tuple[int, ...]:
    """[N,P+E,Q+E,K] of [N,P,Q,K]."""
    N, P, Q, K = shape
    return N, P + halo_rows(padding), Q + halo_rows(padding), K


def takes_halo(kernel: tuple[int, ...], geometry: Geometry) -> bool:
    """Whether dx is made with a halo: the picture was mirrored, and at one offset no pixel meets sums of both ends."""
    return geometry.reflect and geometry.stride == 1 and min(kernel) >= 2 * geometry.padding
