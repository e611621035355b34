"""A wide kernel with few channels on one side, the 7x7 stem and head: the taps of a row beside each other, as channels.

A product has tiles of 64 pixels by 16 channels at least. Three channels under 49 taps fill them badly, and the picture on the
other side is read 49 times. But the 7 taps of a row times 3 channels, laid beside each other as tap * 4 + channel, are 28 of 32
columns; then a row of taps is one tap with 32 channels, and the convolution one of 7x1 taps:

    few in      X[n,h,q,(s,c)] = x[n, h, q + s - pad, c]        y = X * W, 7x1 taps; dw = its weight gradient
    few out     G[n,p,w,(s,k)] = dy[n, p, w + pad - s, k]       dx and dw of such a convolution, from G
                               W[r,(s,c),k] = w[r,s,c,k]        or w[r,s,k,c] where the few are out

A picture of 65536 pixels and 32 columns has 4 MB in bfloat16 and stays in the L2 cache. What lies beyond the edge is mirrored, or
0, as in the convolution; of a gradient a mirrored column is what `meeting` finds in its halo (reflect_halo.py). y with few
out, and dx with few in, take no unfolding: few_out.py multiplies first and shifts the columns of the product.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.conv2d.geometry import Geometry
from kernels.conv2d.reflect_halo import meeting, takes_halo
from kernels.conv2d.wgrad import sum_slices
from kernels.device import Array
from kernels.gpu.launch import cdiv, empty, launch
from kernels.reflection_pad.gpu import mirror

FEW, TAPS = 4, 8  # channels and taps that 32 columns have room for
COLUMNS = FEW * TAPS


def few(w: Array, geometry: Geometry) -> str:
    """ "in" or "out" where a convolution with this weight is made of rows of taps, else ""."""
    R, S, C, K = w.shape[-4:]
    fits = geometry.stride == 1 and TAPS // 2 < S <= TAPS and geometry.padding < min(R, S)
    if geometry.reflect:
        fits = fits and takes_halo((R, S), geometry)
    return "" if not fits else "out" if K <= FEW else "in" if C <= FEW else ""


def of_rows(geometry: Geometry) -> Geometry:
    """That of the convolution with taps one above the other: the columns' margin is in its picture."""
    return Geometry(1, geometry.padding, geometry.padding_mode, sides=0)


@triton.jit
def _unfold(
    x, unfolded, Q, width, count,
    C: tl.constexpr, S: tl.constexpr, PAD: tl.constexpr, REFLECT: tl.constexpr, GRADIENT: tl.constexpr,
    BM: tl.constexpr, TAPS: tl.constexpr, FEW: tl.constexpr,
):  # fmt: skip
    """Program t owns pixels [t BM, (t + 1) BM) of all rows of all images of `unfolded`.

    x          [rows,width,C]; with GRADIENT and REFLECT its last PAD (PAD + 1) columns are its halo
    unfolded   [rows,Q,TAPS FEW], written: pixel q, tap s is column q + s - PAD of x
    Q, width   columns of `unfolded` and of x
    count      pixels of `unfolded`
    C, S       channels of x; taps of a row
    PAD        pixels that the convolution has added on the left and right, 0, or mirrored where REFLECT
    GRADIENT   whether x is the gradient of what such a convolution makes: then column q + PAD - s
    BM         pixels of a program
    TAPS, FEW  room for taps and for channels
    """
    pixel = (tl.program_id(0) * BM + tl.arange(0, BM))[:, None]  # [BM,1]
    lane = tl.arange(0, TAPS * FEW)[None, :]  # [1,TAPS FEW]
    s, c = lane // FEW, lane % FEW
    row, q = pixel // Q, pixel % Q  # [BM,1]
    if GRADIENT and REFLECT:
        at, there = meeting(q, PAD - s, Q, width - PAD * (PAD + 1), PAD, S)  # [BM,TAPS FEW]
    else:
        at = q + (PAD - s if GRADIENT else s - PAD)  # [BM,TAPS FEW]
        if REFLECT:
            at = mirror(at, width)
        there = (at >= 0) & (at < width)
    there = there & (s < S) & (c < C) & (pixel < count)
    value = tl.load(x + (row.to(tl.int64) * width + at) * C + c, mask=there, other=0.0)  # [BM,TAPS FEW]
    tl.store(unfolded + pixel.to(tl.int64) * (TAPS * FEW) + lane, value, mask=pixel < count)


def unfold(x: Array, Q: int, S: int, geometry: Geometry, gradient: bool = False) -> Array:
    """[N,rows,Q,32] from x [N,rows,width,C], or from a gradient, with its halo where the picture was mirrored."""
    N, rows, width, C = x.shape
    unfolded = empty(x, (N, rows, Q, COLUMNS))
    # Program t owns 64 pixels of all rows of all images.
    launch(
        _unfold, (cdiv(N * rows * Q, 64),), x, unfolded, Q, width, N * rows * Q,
        C=C, S=S, PAD=geometry.padding, REFLECT=geometry.reflect, GRADIENT=gradient, BM=64, TAPS=TAPS, FEW=FEW,
    )  # fmt: skip
    return unfolded


@triton.jit
def _pack(
    w, packed, wide,
    R: tl.constexpr, S: tl.constexpr, F: tl.constexpr, OUT: tl.constexpr, FLIP: tl.constexpr, BACK: tl.constexpr,
    BN: tl.constexpr, TAPS: tl.constexpr, FEW: tl.constexpr,
):  # fmt: skip
    """Program (r, j, g) owns row r of taps of weight g of `packed`, channels [j BN, (j + 1) BN) of the side that has many.

    w          [G,R,S,F,wide], or [G,R,S,wide,F] where OUT: F channels in, or out
    packed     [G,R,TAPS FEW,wide], written; or w is, where BACK
    FLIP       the last tap first
    """
    r, g = tl.program_id(0), tl.program_id(2)
    lane = tl.arange(0, TAPS * FEW)[:, None]  # [TAPS FEW,1]
    k = tl.program_id(1) * BN + tl.arange(0, BN)[None, :]  # [1,BN]
    s, c = lane // FEW, lane % FEW
    there = (s < S) & (c < F) & (k < wide)  # [TAPS FEW,BN]
    tap = ((R - 1 - r) * S + S - 1 - s) if FLIP else r * S + s
    at = (tap * wide + k) * F + c if OUT else (tap * F + c) * wide + k
    w += g * (R * S * F) * wide
    packed += (g * R + r) * (TAPS * FEW) * wide
    if BACK:
        tl.store(w + at, tl.load(packed + lane * wide + k, mask=there, other=0.0), mask=there)
    else:
        tl.store(packed + lane * wide + k, tl.load(w + at, mask=there, other=0.0), mask=k < wide)


def pack(w: Array, side: str, flip: bool = False) -> Array:
    """[G,R,1,32,wide] of w [G,R,S,C,K], of which the side "in" or "out" has few channels; a plain w has no G here either."""
    R, _, C, K = w.shape[-4:]
    few_channels, wide = (C, K) if side == "in" else (K, C)
    packed = empty(w, (*w.shape[:-4], R, 1, COLUMNS, wide))
    _launch_pack(w, packed, few_channels, side, flip, back=False)
    return packed


def unpack(dw: Array, S: int, channels: int, side: str) -> Array:
    """dw [G,R,S,C,K] from that of the packed weight [G,R,1,32,wide]; `channels` of the side that has few."""
    G, R, _, _, wide = dw.shape
    w = empty(dw, (G, R, S, channels, wide) if side == "in" else (G, R, S, wide, channels))
    _launch_pack(w, dw, channels, side, flip=False, back=True)
    return w


def _launch_pack(w: Array, packed: Array, few_channels: int, side: str, flip: bool, back: bool) -> None:
    R, S, wide = packed.shape[-4], w.shape[-3], packed.shape[-1]
    # Program (r, j, g) owns row r of taps of weight g, 64 channels of the side that has many.
    launch(
        _pack, (R, cdiv(wide, 64), w.size // (R * S * few_channels * wide)), w, packed, wide,
        R=R, S=S, F=few_channels, OUT=side == "out", FLIP=flip, BACK=back, BN=64, TAPS=TAPS, FEW=FEW,
    )  # fmt: skip


@triton.jit
def _sum_pixels(x, partials, pixels, each, C: tl.constexpr, BM: tl.constexpr, FEW: tl.constexpr):
    """Program (t, g) leaves partial (t, g): the sum of x [G,pixels,C] over pixels [t each, (t + 1) each), in float32."""
    t, g = tl.program_id(0), tl.program_id(1).to(tl.int64)
    c = tl.arange(0, FEW)  # [FEW]
    total = tl.zeros((BM, FEW), tl.float32)  # [BM,FEW]
    for start in range(t * each, tl.minimum((t + 1) * each, pixels), BM):
        pixel = start + tl.arange(0, BM)  # [BM]
        there = (pixel < tl.minimum((t + 1) * each, pixels))[:, None] & (c < C)[None, :]
        total += tl.load(x + (g * pixels + pixel[:, None]) * C + c[None, :], mask=there, other=0.0).to(tl.float32)
    at = (t * tl.num_programs(1) + g) * C + c
    tl.store(partials + at, tl.sum(total, 0), mask=c < C)


def bias_gradient(dy: Array, stack: int) -> Array:
    """db [G,K] float32 of few channels: partial sums over runs of pixels, added in order."""
    N, P, Q, K = dy.shape
    pixels = N // stack * P * Q
    slices = min(64, cdiv(pixels, 512))
    each = cdiv(cdiv(pixels, slices), 512) * 512
    slices = cdiv(pixels, each)
    partials = empty(dy, (slices, stack * K), "float32")
    # Program (t, g) leaves partial (t, g), the sum over a run of the pixels that meet weight g.
    launch(_sum_pixels, (slices, stack), dy, partials, pixels, each, C=K, BM=512, FEW=FEW)
    return sum_slices(partials).reshape(stack, K)
