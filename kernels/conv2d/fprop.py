"""fprop: a convolution as one launch, y = x * w + b; see implicit_gemm.py. Beside it, what an instance norm wants to know.

Grid: pixel tiles x channel tiles x images. A tile lies in one image, so that it can leave statistics: its mean and squared
deviations for the norm that follows (conv_norm_relu), or, as the dx of a transposed convolution, what gemm_epilogue.py says.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.conv2d.gemm_epilogue import epilogue_arguments, epilogue_in_words, leave_moments, leave_sums
from kernels.conv2d.geometry import Geometry
from kernels.conv2d.implicit_gemm import candidates, choose_tiles, load, nbytes, tap_and_channel, weight_strides
from kernels.conv2d.stacked import stack_size
from kernels.device import Array
from kernels.gpu.autotune import Tiles, pick
from kernels.gpu.epilogue import Epilogue
from kernels.gpu.launch import empty, input_precision, launch
from kernels.reflection_pad.gpu import mirror


@triton.jit
def product(
    x, w, pixel, k, n, images, H, W, Q, pixels,
    C: tl.constexpr, K: tl.constexpr, R: tl.constexpr, S: tl.constexpr, W_C: tl.constexpr, W_K: tl.constexpr,
    STRIDE: tl.constexpr, PAD: tl.constexpr, SIDE: tl.constexpr, REFLECT: tl.constexpr, PRECISION: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """The tile [BM,BN] of y at pixels `pixel` [BM] and channels `k` [BN] of image n, in float32; for the rest see _fprop."""
    at = tl.minimum(pixel, pixels - 1)  # a row beyond the last repeats it: no mask on loads, and no store
    h, v = at // Q * STRIDE - PAD, at % Q * STRIDE - SIDE  # [BM], where the kernel's first tap lies
    x += n * H * W * C
    w += n // images * (R * S * C * K)
    k_at = k % K * W_K  # [BN]; the remainder changes nothing that is stored, and without it sm_100 spills in TF32
    acc = tl.zeros((BM, BN), tl.float32)  # [BM,BN]
    for start in range(0, R * S * C, BK):
        flat, tap, c = tap_and_channel(start, C, BK)  # [BK], [] or [BK], [BK]
        row, column = h[:, None] + tap // S, v[:, None] + tap % S  # [BM,1], or [BM,BK] across taps
        there = (flat < R * S * C)[None, :]  # [1,BK]
        if REFLECT:
            # What lies past the reduction's end is masked; its tap may be any, its address none of ours.
            row, column = mirror(row, H), mirror(column, W)
        else:
            there = there & (row >= 0) & (row < H) & (column >= 0) & (column < W)  # [BM,BK]
        a = load(x + (row * W + column) * C + c[None, :], there, C % BK != 0 or not REFLECT)  # [BM,BK]
        b_at = (tap * (C * K) + c * W_C)[:, None] + k_at[None, :]  # [BK,BN]
        b_is = (flat < R * S * C)[:, None] & (k < K)[None, :]  # [BK,BN]
        b = load(w + b_at, b_is, C % BK != 0 or K % BN != 0)  # [BK,BN]
        acc = tl.dot(a, b, acc, input_precision=PRECISION)  # [BM,BN]
    return acc


@triton.jit
def store(pointer, value, mask, MASKED: tl.constexpr):
    """`value` to `pointer` where the mask allows; without MASKED the mask costs nothing."""
    if MASKED:
        tl.store(pointer, value, mask=mask)
    else:
        tl.store(pointer, value)


@triton.jit
def _fprop(
    x, w, bias, y, onto, z, mean, rstd, negative, partials, images, H, W, Q, pixels,
    C: tl.constexpr, K: tl.constexpr, R: tl.constexpr, S: tl.constexpr, W_C: tl.constexpr, W_K: tl.constexpr,
    STRIDE: tl.constexpr, PAD: tl.constexpr, SIDE: tl.constexpr, REFLECT: tl.constexpr, EVEN: tl.constexpr,
    PRECISION: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Program (t, j, n) owns pixels [t BM, (t + 1) BM) and channels [j BN, (j + 1) BN) of image n of y, and partial (n, t).

    Summed in float32: taps row by row, the channels of each in order, BK products at a time; then bias, then onto.

    x          [N,H,W,C]
    w          [G,R,S,C,K]; or with C and K exchanged, see W_C
    bias       [G,K], or None
    y          [N,P,Q,K], written
    onto       [N,P,Q,K], added to the product; or None
    z          [N,P,Q,K], the input of a norm whose output y is a gradient of, see leave_sums; or None
    mean, rstd [N,K], that norm's; or None
    negative   the slope below 0 of that norm's activation
    partials   [N,T,2,K] float32, written: that norm's two sums over the tile, or, without z, its mean and squared
               deviations; or None
    images     with the same weight: N / G
    H, W       rows and columns of x, pixels
    Q, pixels  columns of y, and P Q
    C, K       channels of x and of y
    R, S       rows and columns of the kernel
    W_C, W_K   how far apart in w, in elements, neighbouring channels of x and of y are
    STRIDE     pixels of x between neighbours of y
    PAD, SIDE  pixels above and below x, on its left and right: 0, or mirrored where REFLECT
    EVEN       whether tiles divide pixels and channels, so that nothing is masked
    PRECISION  of a product of float32: "tf32" or "ieee"
    BM, BN, BK pixels and channels of a tile; length of a step along the reduction, R S C
    """
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    k = tl.program_id(1) * BN + tl.arange(0, BN)  # [BN]
    pixel = t * BM + tl.arange(0, BM)  # [BM]
    acc = product(
        x, w, pixel, k, n, images, H, W, Q, pixels,
        C, K, R, S, W_C, W_K, STRIDE, PAD, SIDE, REFLECT, PRECISION, BM, BN, BK,
    )  # fmt: skip
    if bias is not None:
        acc += tl.load(bias + n // images * K + k, mask=k < K, other=0.0).to(tl.float32)[None, :]
    inside = (pixel < pixels)[:, None] & (k < K)[None, :]  # [BM,BN]
    at = n * pixels * K + pixel[:, None] * K + k[None, :]  # [BM,BN]
    if onto is not None:
        acc += load(onto + at, inside, not EVEN).to(tl.float32)
    store(y + at, acc, inside, not EVEN)
    if z is not None:
        partials += (n * tl.num_programs(0) + t) * 2 * K
        leave_sums(acc, z, at, inside, mean + n * K, rstd + n * K, negative, partials, k, K)
    elif partials is not None:
        partials += (n * tl.num_programs(0) + t) * 2 * K
        leave_moments(acc, inside, tl.minimum(pixels - t * BM, BM), partials, k, K, EVEN)


def fprop(
    x: Array, w: Array, b: Array | None, size: tuple[int, int], geometry: Geometry, *,
    swapped: bool = False, statistics: bool = False, epilogue: Epilogue | None = None, tiles: Tiles | None = None,
) -> tuple[Array, Array | None, int]:  # fmt: skip
    """y [N,*size,K], and per pixel tile its mean and squared deviations [N,T,2,K] (or None), and the tile's pixels.

    x [N,H,W,C] and w [R,S,C,K] (`swapped`: [R,S,K,C], as a transposed convolution has it), or a stack of such, are
    contiguous.
    """
    N, H, W, C = x.shape
    (R, S), K = w.shape[-4:-2], w.shape[-2 if swapped else -1]
    pixels = size[0] * size[1]
    tiles = tiles or pick(
        _fprop,
        (
            x.dtype,
            input_precision(),
            *x.shape,
            *w.shape,
            *size,
            geometry.stride,
            epilogue_in_words(epilogue),
            statistics,
        ),
        choose_tiles(N * pixels, K, C, x),
        candidates,
        lambda t: fprop(x, w, b, size, geometry, swapped=swapped, statistics=statistics, epilogue=epilogue, tiles=t),
    )
    y = empty(x, (N, *size, K))
    grid = (triton.cdiv(pixels, tiles["BM"]), triton.cdiv(K, tiles["BN"]), N)
    onto, norm, partials, others = epilogue_arguments(epilogue, y, grid[0])
    if statistics:
        partials = empty(x, (N, grid[0], 2, K), "float32")
    # Program (t, j, n) owns pixels [t BM, (t + 1) BM) of image n of y, channels [j BN, (j + 1) BN), and partial (n, t).
    launch(
        _fprop, grid, x, w, b, y, onto, *norm, partials, N // stack_size(x, w), H, W, size[1], pixels,
        flops=2 * y.size * R * S * C, bytes=others + nbytes(x, w, b, y, partials),
        C=C, K=K, R=R, S=S, **weight_strides(C, K, swapped),
        STRIDE=geometry.stride, PAD=geometry.padding, SIDE=geometry.side, REFLECT=geometry.reflect,
        EVEN=pixels % tiles["BM"] == 0 and K % tiles["BN"] == 0, PRECISION=input_precision(), **tiles,
    )  # fmt: skip
    return y, partials, tiles["BM"]
