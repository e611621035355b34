"""dgrad: the gradient of a convolution's picture, dx, as one launch; see implicit_gemm.py. A transposed convolution is one too.

The textbook scatters each dy pixel over R x S pixels of dx, and programs would write to each other's. Here it is a gather:
a row u = h + pad of the padded picture only meets taps r with r = u (mod stride). So rows split into `stride` phases, each
a small convolution of its own with r running backwards, and no zeros are multiplied. Where the forward pass mirrored its
picture, some pixels collect from two rows or columns at a tap, whose sums stand behind dy (reflect_halo.py): another place
to fetch from, and nothing is added afterwards.

Grid: pixel tiles x channel tiles x images and phases. Each element is written once; what gemm_epilogue.py says is done to a tile,
or left beside it, while it is in registers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.conv2d.gemm_epilogue import epilogue_arguments, epilogue_in_words, halves, leave_moments, leave_sums
from kernels.conv2d.geometry import Geometry
from kernels.conv2d.implicit_gemm import candidates, choose_tiles, load, nbytes, tap_and_channel, weight_strides
from kernels.conv2d.reflect_halo import halo_rows, meeting
from kernels.conv2d.stacked import stack_size
from kernels.device import Array
from kernels.gpu.autotune import Tiles, pick
from kernels.gpu.epilogue import Epilogue
from kernels.gpu.launch import cdiv, empty, input_precision, launch


@triton.jit
def _finish(tile, at, pixel_is, c, bias, dx, onto, z, mean, rstd, negative, partials, C: tl.constexpr):
    """Write a tile [BM,BN] of dx, plus bias and onto, at elements `at` [BM] and channels c [BN]; leave its sums, if there is a z.

    Arguments are those of _dgrad, but begin with the tile's image; `pixel_is` [BM] says which pixels there are.
    """
    inside, at = pixel_is[:, None] & (c < C)[None, :], at[:, None] + c[None, :]  # [BM,BN]
    if bias is not None:
        tile += tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    if onto is not None:
        tile += tl.load(onto + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(dx + at, tile, mask=inside)
    if z is not None:
        leave_sums(tile, z, at, inside, mean, rstd, negative, partials, c, C)
    elif partials is not None:
        leave_moments(tile, inside, tile.shape[0], partials, c, C)


@triton.jit
def _dgrad(
    dy, w, bias, dx, onto, z, mean, rstd, negative, partials, N, images, P, Q, H, W,
    C: tl.constexpr, K: tl.constexpr, R: tl.constexpr, S: tl.constexpr, W_C: tl.constexpr, W_K: tl.constexpr,
    STRIDE: tl.constexpr, PAD: tl.constexpr, SIDE: tl.constexpr, HALO: tl.constexpr, PRECISION: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Program (t, j, (phase, n)) owns BM pixels of one phase of image n of dx, channels [j BN, (j + 1) BN), and a partial.

    Summed in float32: the phase's taps row by row, the channels of each in order, BK products at a time; then bias, then
    onto.

    dy         [N,P,Q,K]; with HALO rows and columns of sums behind each image, [N,P+E,Q+F,K]
    w          [G,R,S,C,K]; or with C and K exchanged, see W_C
    bias       [G,C], or None
    dx         [N,H,W,C], written
    onto       [N,H,W,C], added to the product; or None
    z          [N,H,W,C], the input of a norm whose output dx is the gradient of, see leave_sums; or None
    mean, rstd [N,C], that norm's; or None
    negative   the slope below 0 of that norm's activation
    partials   [N,T,2,C] float32, written: that norm's two sums over each tile of each phase, or, without z, its mean and
               squared deviations, where tiles are whole; or None
    N          images
    images     with the same weight: N / G
    P, Q       rows and columns of dy, pixels, without the halo
    H, W       rows and columns of dx, pixels
    C, K       channels of dx and of dy
    R, S       rows and columns of the kernel
    W_C, W_K   how far apart in w, in elements, neighbouring channels of dx and of dy are
    STRIDE     pixels of dx between neighbours of dy
    PAD, SIDE  pixels that the forward pass has added above and below dx, on its left and right
    HALO       whether it has mirrored them, so that dy has a halo of E = PAD (PAD + 1) rows, F = SIDE (SIDE + 1) columns
    PRECISION  of a product of float32: "tf32" or "ieee"
    BM, BN, BK pixels and channels of a tile; length of a step along the reduction, (taps of the phase) K
    """
    E: tl.constexpr = PAD * (PAD + 1) if HALO else 0
    F: tl.constexpr = SIDE * (SIDE + 1) if HALO else 0
    phase_h, phase_w = 0, 0
    n = tl.program_id(2)
    t = tl.program_id(0)
    if STRIDE > 1:
        phase_h, phase_w = n // N // STRIDE, n // N % STRIDE
        t += n // N * tl.num_programs(0)
        n = n % N
    n = n.to(tl.int64)
    # The padded rows u = i * STRIDE + phase_h that this phase owns.
    first_h, first_w = (PAD - phase_h + STRIDE - 1) // STRIDE, (SIDE - phase_w + STRIDE - 1) // STRIDE
    columns = (SIDE + W - phase_w + STRIDE - 1) // STRIDE - first_w
    pixels = ((PAD + H - phase_h + STRIDE - 1) // STRIDE - first_h) * columns
    pixel = tl.program_id(0) * BM + tl.arange(0, BM)  # [BM]
    c = tl.program_id(1) * BN + tl.arange(0, BN)  # [BN]
    if partials is not None:
        partials += (n * tl.num_programs(0) * STRIDE * STRIDE + t) * 2 * C
    if tl.program_id(0) * BM >= pixels:  # of a smaller phase
        if partials is not None:
            tl.store(partials + c, tl.zeros((BN,), tl.float32), mask=c < C)
            tl.store(partials + C + c, tl.zeros((BN,), tl.float32), mask=c < C)
        return
    at = tl.minimum(pixel, pixels - 1)
    i, j = first_h + at // columns, first_w + at % columns  # [BM], padded row and column over STRIDE
    dy += n * (P + E) * (Q + F) * K
    w += n // images * (R * S * C * K)
    taps_h, taps_w = (R - phase_h + STRIDE - 1) // STRIDE, (S - phase_w + STRIDE - 1) // STRIDE
    length = taps_h * taps_w * K
    acc = tl.zeros((BM, BN), tl.float32)  # [BM,BN]
    for start in range(0, length, BK):
        flat, tap, k = tap_and_channel(start, K, BK)  # [BK], [] or [BK], [BK]
        r, s = tap // taps_w, tap % taps_w  # of the phase's taps
        if HALO:
            row, row_is = meeting(i[:, None] - PAD, PAD - r, H, P, PAD, R)  # [BM,1], or [BM,BK] across taps
            column, column_is = meeting(j[:, None] - SIDE, SIDE - s, W, Q, SIDE, S)
            there = row_is & column_is
        else:
            row, column = i[:, None] - r, j[:, None] - s  # [BM,1], or [BM,BK] across taps
            there = (row >= 0) & (row < P) & (column >= 0) & (column < Q)
        a_at = (row * (Q + F) + column) * K + k[None, :]  # [BM,BK]
        if K % BK != 0:
            there = there & (flat < length)[None, :]
        a = load(dy + a_at, there, True)  # [BM,BK]
        tap = (phase_h + STRIDE * r) * S + phase_w + STRIDE * s  # of all taps
        b_at = (tap * (C * K) + k * W_K)[:, None] + c[None, :] * W_C  # [BK,BN]
        b_is = (flat < length)[:, None] & (c < C)[None, :]  # [BK,BN]
        b = load(w + b_at, b_is, K % BK != 0 or C % BN != 0)  # [BK,BN]
        acc = tl.dot(a, b, acc, input_precision=PRECISION)  # [BM,BN]
    pixel_is = pixel < pixels  # [BM]
    at = (
        (i * STRIDE + phase_h - PAD) * W + j * STRIDE + phase_w - SIDE
    ) * C  # [BM], where the pixels lie in their image of dx
    dx += n * H * W * C
    if bias is not None:
        bias += n // images * C
    if onto is not None:
        onto += n * H * W * C
    if z is not None:
        z, mean, rstd = z + n * H * W * C, mean + n * C, rstd + n * C
    if BN > 128:  # in quarters: beside all of acc there is no room in registers for what the epilogue reads
        left, right = halves(acc, BM, BN)  # [BM,BN/2]
        c = tl.program_id(1) * BN + tl.arange(0, BN // 4)  # [BN/4]
        for half in tl.static_range(2):
            first, second = halves(right if half else left, BM, BN // 2)  # [BM,BN/4]
            _finish(first, at, pixel_is, c + half * (BN // 2), bias, dx, onto, z, mean, rstd, negative, partials, C)
            c_second = c + half * (BN // 2) + BN // 4
            _finish(second, at, pixel_is, c_second, bias, dx, onto, z, mean, rstd, negative, partials, C)
    else:
        _finish(acc, at, pixel_is, c, bias, dx, onto, z, mean, rstd, negative, partials, C)


def dgrad(
    dy: Array, w: Array, b: Array | None, size: tuple[int, int], geometry: Geometry, *,
    swapped: bool = False, halo: bool = False, statistics: bool = False, epilogue: Epilogue | None = None,
    tiles: Tiles | None = None,
) -> tuple[Array, Array | None, int]:  # fmt: skip
    """dx [N,*size,C], the adjoint of fprop with the same geometry, plus b [C]: a transposed convolution has one. Then per
    tile its mean and squared deviations [N,T,2,C], and the tile's pixels; None where tiles of a phase are not whole.

    dy [N,P,Q,K], with `halo` [N,P+E,Q+E,K] (reflect_halo.py), and w [R,S,C,K] (`swapped`: [R,S,K,C], as a transposed
    convolution has it), or a stack of such, are contiguous. Without a halo what lies beyond the edge counts as 0.
    """
    (N, P, Q, K), stride, padding = dy.shape, geometry.stride, geometry.padding
    if halo:
        P, Q = P - halo_rows(padding), Q - halo_rows(geometry.side)
    (R, S), C = w.shape[-4:-2], w.shape[-1 if swapped else -2]
    H, W = size
    dx = empty(dy, (N, H, W, C))
    pixels = cdiv(H, stride) * cdiv(W, stride)  # of the largest phase
    tiles = tiles or pick(
        _dgrad,
        (dy.dtype, input_precision(), *dy.shape, *w.shape, *size, stride, epilogue_in_words(epilogue), statistics),
        choose_tiles(N * pixels * stride**2, C, K, dy, dgrad=True),
        candidates,
        lambda t: dgrad(
            dy, w, b, size, geometry, swapped=swapped, halo=halo, statistics=statistics, epilogue=epilogue, tiles=t
        ),
    )
    grid = (cdiv(pixels, tiles["BM"]), cdiv(C, tiles["BN"]), N * stride**2)
    onto, norm, partials, others = epilogue_arguments(epilogue, dx, grid[0] * stride**2)
    if statistics and H % stride == W % stride == pixels % tiles["BM"] == 0:  # tiles are whole, phases of one size
        partials = empty(dx, (N, grid[0] * stride**2, 2, C), "float32")
    # Program (t, j, (phase, n)) owns BM pixels of one phase of image n of dx, channels [j BN, (j + 1) BN), and a partial.
    launch(
        _dgrad, grid, dy, w, b, dx, onto, *norm, partials, N, N // stack_size(dy, w), P, Q, H, W,
        flops=2 * N * P * Q * K * R * S * C, bytes=others + nbytes(dy, w, b, dx, partials),
        C=C, K=K, R=R, S=S, **weight_strides(C, K, swapped),
        STRIDE=stride, PAD=padding, SIDE=geometry.side, HALO=halo, PRECISION=input_precision(), **tiles,
    )  # fmt: skip
    return dx, partials, tiles["BM"]
