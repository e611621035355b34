"""The whole block in one launch: multiply, leave the tile's statistics, wait for the others, normalise the tile where it is.

Where all programs run at once they may wait for each other (kernels/gpu/grid_barrier.py), and a tile of z stays in registers
from the product to the activation. z is written for the backward, and not read again. Programs that share an image and a
block of channels form a group; a program waits for its own only. Such a grid has at most one program for a multiprocessor: the
residual layers of a 256-pixel picture, whether one, two or four of them, have 128; what is larger takes two launches (gpu.py).

The product is summed as in conv2d's _fprop, statistics merged as in instance_norm's _normalise, and z rounded to its dtype before
it is normalised: the bits of the two launches with the same tiles.
"""

from __future__ import annotations

import math
from typing import Any

import triton
import triton.language as tl

from kernels.conv2d.fprop import product, store
from kernels.conv2d.gemm_epilogue import leave_moments
from kernels.conv2d.geometry import Geometry
from kernels.conv2d.implicit_gemm import candidates, choose_tiles, load, nbytes, weight_strides
from kernels.conv2d.stacked import stack_size
from kernels.device import Array
from kernels.gpu.autotune import Tiles, pick
from kernels.gpu.grid_barrier import arrive, counters_of, resident, wait
from kernels.gpu.launch import cdiv, contiguous, empty, input_precision, launch
from kernels.instance_norm.partials import BT, merged_moments
from kernels.instance_norm.settings import NormSettings


@triton.jit
def _block(
    x, w, skip, out, z, partials, mean, rstd, counters, images, H, W, Q, pixels, tiles, negative, eps,
    C: tl.constexpr, K: tl.constexpr, R: tl.constexpr, S: tl.constexpr, W_C: tl.constexpr, W_K: tl.constexpr,
    STRIDE: tl.constexpr, PAD: tl.constexpr, SIDE: tl.constexpr, REFLECT: tl.constexpr, EVEN: tl.constexpr,
    PRECISION: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    """Program (t, j, n) owns pixels [t BM, (t + 1) BM) and channels [j BN, (j + 1) BN) of image n of z and out, and partial
    (n, t); t = 0 the statistics. Those that differ in t alone wait for each other.

    All after the product is done to the left half of the tile and then to the right: each needs half of the registers.

    skip           [N,P,Q,K], or None
    out, z         [N,P,Q,K], written
    partials       [N,tiles,2,K] float32, written and read
    mean, rstd     [N,K] float32, written
    counters       [N J] int32, of a barrier each
    negative, eps  the activation's slope below 0; what is added to the variance
    BT             partials merged at a time
    The others are those of _fprop.
    """
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    k = tl.program_id(1) * BN + tl.arange(0, BN)  # [BN]
    pixel = t * BM + tl.arange(0, BM)  # [BM]
    acc = product(
        x, w, pixel, k, n, images, H, W, Q, pixels,
        C, K, R, S, W_C, W_K, STRIDE, PAD, SIDE, REFLECT, PRECISION, BM, BN, BK,
    )  # fmt: skip
    partials += n * tiles * 2 * K
    counters += tl.program_id(2) * tl.num_programs(1) + tl.program_id(1)
    HALF: tl.constexpr = BN // 2
    halves = tl.split(tl.permute(tl.reshape(acc, (BM, 2, HALF)), (0, 2, 1)))  # 2 [BM,BN/2]
    for side in tl.static_range(2):
        k = tl.program_id(1) * BN + side * HALF + tl.arange(0, HALF)  # [BN/2]
        inside = (pixel < pixels)[:, None] & (k < K)[None, :]  # [BM,BN/2]
        count = tl.minimum(pixels - t * BM, BM)
        leave_moments(halves[side], inside, count, partials + t * 2 * K, k, K, EVEN)
    before = arrive(counters, tiles, t == 0)
    z += n * pixels * K
    for side in tl.static_range(2):  # while the others arrive
        k = tl.program_id(1) * BN + side * HALF + tl.arange(0, HALF)  # [BN/2]
        inside = (pixel < pixels)[:, None] & (k < K)[None, :]  # [BM,BN/2]
        store(z + pixel[:, None] * K + k[None, :], halves[side], inside, not EVEN)
    wait(counters, before)
    for side in tl.static_range(2):
        k = tl.program_id(1) * BN + side * HALF + tl.arange(0, HALF)  # [BN/2]
        inside = (pixel < pixels)[:, None] & (k < K)[None, :]  # [BM,BN/2]
        average, squares = merged_moments(partials, 0, tiles, pixels, BM, K, k, BT, HALF)  # [BN/2]
        scale = 1 / tl.sqrt_rn(squares / pixels + eps)  # [BN/2]
        if t == 0:
            tl.store(mean + n * K + k, average, mask=k < K)
            tl.store(rstd + n * K + k, scale, mask=k < K)
        value = halves[side].to(z.dtype.element_ty).to(tl.float32)  # [BM,BN/2], as if it were read again
        value = (value - average[None, :]) * scale[None, :]
        value = tl.where(value > 0, value, value * negative)
        at = n * pixels * K + pixel[:, None] * K + k[None, :]  # [BM,BN/2]
        if skip is not None:
            value += load(skip + at, inside, not EVEN).to(tl.float32)
        store(out + at, value, inside, not EVEN)


def in_one_launch(
    x: Array, w: Array, skip: Array | None, size: tuple[int, int], geometry: Geometry, norm: NormSettings, tiles: Tiles
) -> tuple[Array, Array, Array, Array]:
    """out, z, mean, rstd of contiguous x and w, by tiles that make a grid that runs at once."""
    N, H, W, C = x.shape
    (R, S), K = w.shape[-4:-2], w.shape[-1]
    (skip,) = contiguous(skip)
    z, out = empty(x, (N, *size, K)), empty(x, (N, *size, K))
    mean, rstd = empty(x, (N, K), "float32"), empty(x, (N, K), "float32")
    grid, pixels = grid_of(z.shape, tiles), size[0] * size[1]
    partials = empty(x, (N, grid[0], 2, K), "float32")
    # Program (t, j, n) owns pixels [t BM, (t + 1) BM), channels [j BN, (j + 1) BN) of image n of z and out, and partial (n, t).
    launch(
        _block, grid, x, w, skip, out, z, partials, mean, rstd, counters_of(x), N // stack_size(x, w),
        H, W, size[1], pixels, grid[0], norm.negative_slope, float(norm.eps),
        flops=2 * z.size * R * S * C, bytes=nbytes(x, w, skip, out, z, partials), cooperative=True,
        C=C, K=K, R=R, S=S, **weight_strides(C, K, False),
        STRIDE=geometry.stride, PAD=geometry.padding, SIDE=geometry.side, REFLECT=geometry.reflect,
        EVEN=pixels % tiles["BM"] == 0 and K % tiles["BN"] == 0, PRECISION=input_precision(), BT=BT, **tiles,
    )  # fmt: skip
    return out, z, mean, rstd


def tiles_for(
    x: Array, w: Array, size: tuple[int, int], geometry: Geometry, norm: NormSettings, skip: Array | None
) -> Tiles | None:
    """Tiles whose grid runs at once, or None; chosen by measuring where that is wanted.

    The table's if they will do, else 128x128, which leaves a residual layer of two pictures 128 programs, or, of bfloat16,
    128x256 for four. (In full float32 and TF32 tiles larger than the table's do not fit the registers.)
    """
    K = w.shape[-1]

    def fits(tiles: Tiles) -> bool:
        shared = tiles["num_stages"] * (tiles["BM"] + tiles["BN"]) * tiles["BK"] * x.dtype.itemsize  # blocks of x and w
        return resident(math.prod(grid_of((len(x), *size, K), tiles)), x, shared)

    table = choose_tiles(len(x) * size[0] * size[1], K, x.shape[3], x)
    if x.dtype.itemsize == 4 and table["BN"] == 128:
        table |= dict(num_warps=8)  # shared by 4, float32 spills on sm_100
    larger = [table]
    if table["BN"] == 128 and x.shape[3] % table["BK"] == 0:
        larger.append(table | dict(BM=128, num_warps=8))
        if x.dtype.itemsize == 2 and K % 256 == 0:
            larger.append(table | dict(BM=128, BN=256, num_warps=8))
    first = next(filter(fits, larger), None)
    return first and pick(
        _block,
        measured_for(x, w, skip, size, geometry),
        first,
        lambda tiles: [t for t in candidates(tiles) if fits(t)],
        lambda tiles: in_one_launch(x, w, skip, size, geometry, norm, tiles),
    )


def measured_for(x: Array, w: Array, skip: Array | None, size: tuple[int, int], geometry: Geometry) -> tuple[Any, ...]:
    """What decides which way is fastest, beside the kernel's source."""
    return x.dtype, input_precision(), *x.shape, *w.shape, *size, geometry.stride, skip is not None


def grid_of(shape: tuple[int, ...], tiles: Tiles) -> tuple[int, int, int]:
    """Pixel tiles, channel tiles and images of a z [N,P,Q,K]."""
    N, P, Q, K = shape
    return cdiv(P * Q, tiles["BM"]), cdiv(K, tiles["BN"]), N
