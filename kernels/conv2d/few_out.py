"""fprop to few channels: multiply by a whole row of taps at once, then add up what lies shifted; see row_of_taps.py.

    z[n,p,v,(s,k)] = sum over r,c of  x[n, p + r - pad, v - side, c] * w[r,s,c,k]      one product, 32 columns wide
    y[n,p,q,k]     = b[k] + sum over s of  z[n, p, q + s, (s,k)]

A tile holds pixels v in a row of z, of which its first BM - S + 1 have all that their sums need; the next tile begins behind
these. Rows of z lie one behind the other, each S - 1 longer than one of y, so a tile may run across their ends. x is read
once for each row of taps, 7 times and not 49, and z never leaves the registers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.conv2d.geometry import Geometry
from kernels.conv2d.implicit_gemm import load, nbytes, step
from kernels.conv2d.row_of_taps import COLUMNS, FEW, pack
from kernels.conv2d.stacked import stack_size
from kernels.device import Array
from kernels.gpu.autotune import Tiles
from kernels.gpu.launch import cdiv, empty, input_precision, launch
from kernels.reflection_pad.gpu import mirror


@triton.jit
def _fprop_few(
    x, w, bias, y, images, H, W, Q, count,
    C: tl.constexpr, K: tl.constexpr, R: tl.constexpr, S: tl.constexpr, PAD: tl.constexpr, SIDE: tl.constexpr,
    REFLECT: tl.constexpr, PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, FEW: tl.constexpr,
):  # fmt: skip
    """Program (t, n) owns those pixels of y that are among pixels [t (BM - S + 1), (t + 1) (BM - S + 1)) of image n of z.

    Summed in float32: rows of taps, the channels of each in order, BK products at a time; then the taps of a row; then bias.

    x          [N,H,W,C]
    w          [G,R,BN,C], a row's taps and channels out beside each other: column s FEW + k
    bias       [G,K], or None
    y          [N,P,Q,K], written
    images     with the same weight: N / G
    H, W       rows and columns of x, pixels
    Q, count   columns of y, pixels; pixels of an image of z: P (Q + S - 1)
    C, K       channels of x and of y
    R, S       rows and columns of the kernel
    PAD, SIDE  pixels above and below x, on its left and right: 0, or mirrored where REFLECT
    PRECISION  of a product of float32: "tf32" or "ieee"
    BM, BN, BK pixels and columns of a tile of z; length of a step along the reduction, R C
    """
    n = tl.program_id(1).to(tl.int64)
    width = Q + S - 1
    lane = tl.arange(0, BM)  # [BM]
    at = tl.program_id(0) * (BM - S + 1) + lane
    inside = at < count
    at = tl.minimum(at, count - 1)
    p, v = at // width, at % width
    column = v - SIDE
    column_is = (column >= 0) & (column < W)
    if REFLECT:
        column = mirror(column, W)
    j = tl.arange(0, BN)  # [BN]
    x += n * H * W * C
    w += n // images * (R * BN * C)
    STEPS: tl.constexpr = (C + BK - 1) // BK
    acc = tl.zeros((BM, BN), tl.float32)  # [BM,BN]
    for i in range(R * STEPS):
        r, first = i // STEPS, i % STEPS * BK
        c = first + tl.arange(0, BK)  # [BK]
        row = p + r - PAD  # [BM]
        there = (c < C)[None, :]
        if REFLECT:
            row = mirror(row, H)
        else:
            there = there & (column_is & (row >= 0) & (row < H))[:, None]  # [BM,BK]
        a = load(x + ((row * W + column) * C)[:, None] + c[None, :], there, C % BK != 0 or not REFLECT)  # [BM,BK]
        b = load(w + r * (BN * C) + j[None, :] * C + c[:, None], (c < C)[:, None], C % BK != 0)  # [BK,BN]
        acc = tl.dot(a, b, acc, input_precision=PRECISION)  # [BM,BN]
    shifted = tl.minimum(lane[:, None] + (j // FEW)[None, :], BM - 1)  # [BM,BN]
    z = tl.reshape(tl.gather(acc, shifted, 0), (BM, BN // FEW, FEW))  # [BM,taps,FEW]
    total = tl.sum(z, 1)  # [BM,FEW]
    k = tl.arange(0, FEW)  # [FEW]
    if bias is not None:
        total += tl.load(bias + n // images * K + k, mask=k < K, other=0.0).to(tl.float32)[None, :]
    inside = inside & (lane < BM - S + 1) & (v < Q)
    y += n * (count // width) * Q * K
    tl.store(y + ((p * Q + v) * K)[:, None] + k[None, :], total, mask=inside[:, None] & (k < K)[None, :])


def fprop_few(
    x: Array, w: Array, b: Array | None, size: tuple[int, int], geometry: Geometry, *,
    adjoint: bool = False, tiles: Tiles | None = None,
) -> Array:  # fmt: skip
    """y [N,*size,K] of x [N,H,W,C] and w [R,S,C,K] or a stack of such, K at most 4.

    `adjoint`: of w [R,S,K,C] with the last tap first, as a convolution's gradient meets it.
    """
    N, H, W, C = x.shape
    (R, S), K = w.shape[-4:-2], w.shape[-2 if adjoint else -1]
    packed = pack(w, "in" if adjoint else "out", flip=adjoint)
    tiles = tiles or choose(C, x)
    y = empty(x, (N, *size, K))
    count = size[0] * (size[1] + S - 1)
    # Program (t, n) owns what pixels of y lie among BM - S + 1 of image n of z.
    launch(
        _fprop_few, (cdiv(count, tiles["BM"] - S + 1), N), x, packed, b, y, N // stack_size(x, w), H, W, size[1], count,
        flops=2 * y.size * R * S * C, bytes=nbytes(x, packed, b, y), C=C, K=K, R=R, S=S,
        PAD=geometry.padding, SIDE=geometry.side, REFLECT=geometry.reflect, PRECISION=input_precision(), BN=COLUMNS, FEW=FEW, **tiles,
    )  # fmt: skip
    return y


def choose(C: int, like: Array) -> Tiles:
    """Pixels of a tile, of which S - 1 are made twice; channels of a step; warps."""
    BK = next((k for k in (64, 32, 16) if k <= step(like) and C % k == 0), min(step(like), 32))
    BM = 128 if like.dtype.itemsize == 2 else 64
    return dict(BM=BM, BK=BK, num_warps=4, num_stages=3)
