"""Instance normalisation on the GPU, forward: a launch for the statistics, and one that normalises; see gpu.py.

In the first launch each program reduces its tile to two numbers for each channel: `partials` [N,T,2,C]. In the second every
program merges all T of them, always in the same order (partials.py), and then transforms its own tile. Reading the partials
again in each program costs some traffic in the L2 cache and saves a launch.

Memory answers after some 600 ns, so a multiprocessor of an H100 reaches its share of the bandwidth, 25 bytes a ns, with 17 KB
on their way: here four programs of 128 threads, and for each thread four loads of 16 bytes or more ahead of the first use.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.launch import cdiv, contiguous, empty, launch
from kernels.gpu.reduce import merge_lanes, merge_moments
from kernels.instance_norm.partials import BT, channels_of, merged_moments, shortened
from kernels.instance_norm.settings import NormSettings

BYTES = 128  # of each channel in registers at a time: 64 pixels in bfloat16, 32 in float32
PROGRAMS = 512  # of a launch, about: four for each multiprocessor of an H100


@triton.jit
def _moments(x, partials, pixels, tile, C, BP: tl.constexpr, BC: tl.constexpr):
    """Program (t, b, n) owns pixels [t tile, (t + 1) tile) and channels [b BC, (b + 1) BC) of image n, and partial (n, t).

    Lane i takes pixels i, i + BP, ..., one after the other (Welford); then the lanes are merged.

    x          [N,pixels,C]
    partials   [N,T,2,C] float32, written: mean and sum of squared deviations of a tile
    tile       pixels of a program; the last has what is left
    BP, BC     pixels in registers at a time, channels
    """
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)  # [BC]
    x += n * pixels * C
    # Measured from the tile's first pixel, so that a large mean costs no digits.
    pivot = tl.load(x + t * tile * C + c, mask=c < C, other=0.0).to(tl.float32)  # [BC]
    count, mean, m2 = tl.zeros((BP, 1), tl.float32), tl.zeros((BP, BC), tl.float32), tl.zeros((BP, BC), tl.float32)
    end = tl.minimum((t + 1) * tile, pixels)
    for start in range(t * tile, end, BP):
        p = start + tl.arange(0, BP)  # [BP]
        inside = (p < end)[:, None] & (c < C)[None, :]  # [BP,BC]
        value = tl.load(x + p[:, None] * C + c[None, :], mask=inside, other=0.0).to(tl.float32)  # [BP,BC]
        one = tl.where(p < end, 1.0, 0.0)[:, None]  # [BP,1]
        count, mean, m2 = merge_moments(count, mean, m2, one, value - pivot[None, :], 0.0)
    mean, m2 = merge_lanes(count, mean, m2)  # [BC]
    partials += (n * tl.num_programs(0) + t) * 2 * C + c
    tl.store(partials, pivot + mean, mask=c < C)
    tl.store(partials + C, m2, mask=c < C)


@triton.jit
def _normalise(
    x, skip, y, partials, mean_out, rstd_out, scale, shift, pixels, tile, tiles, rows, C, negative, eps,
    BP: tl.constexpr, BC: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    """Program (t, b, n) owns pixels [t rows, (t + 1) rows) and channels [b BC, (b + 1) BC) of image n; t = 0 the statistics.

    y = act(scale x_hat + shift) + skip.

    x          [N,pixels,C]
    skip       like x, or None
    y          like x, written
    partials   [N,tiles,2,C] float32, of `tile` pixels each: mean and sum of squared deviations
    mean_out   [N,C] float32, written
    rstd_out   [N,C] float32, written
    scale      [N,C], or None for 1
    shift      [N,C], or None for 0
    rows       pixels of a program
    negative   the activation's slope below 0
    eps        added to the variance
    BP, BC, BT pixels in registers at a time, channels, partials merged at a time
    """
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)  # [BC]
    mean, m2 = merged_moments(partials + n * tiles * 2 * C, 0, tiles, pixels, tile, C, c, BT, BC)  # [BC]
    rstd = 1 / tl.sqrt_rn(m2 / pixels + eps)  # [BC]
    if t == 0:
        tl.store(mean_out + n * C + c, mean, mask=c < C)
        tl.store(rstd_out + n * C + c, rstd, mask=c < C)
    if scale is not None:
        scale = tl.load(scale + n * C + c, mask=c < C, other=0.0).to(tl.float32)  # [BC]
        shift = tl.load(shift + n * C + c, mask=c < C, other=0.0).to(tl.float32)  # [BC]
    end = tl.minimum((t + 1) * rows, pixels)
    for start in range(t * rows, end, BP):
        p = start + tl.arange(0, BP)  # [BP]
        inside = (p < end)[:, None] & (c < C)[None, :]  # [BP,BC]
        at = n * pixels * C + p[:, None] * C + c[None, :]  # [BP,BC]
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)  # [BP,BC]
        value = (value - mean[None, :]) * rstd[None, :]
        if scale is not None:
            value = value * scale[None, :] + shift[None, :]
        value = tl.where(value > 0, value, value * negative)
        if skip is not None:
            value += tl.load(skip + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + at, value, mask=inside)


def moments(x: Array) -> tuple[Array, int]:
    """Partials [N,T,2,C] of a contiguous x [N,H,W,C], and the pixels of a tile: what `normalise` takes."""
    (N, H, W, C), BC = x.shape, channels_of(x)
    tile = tile_of(x)
    partials = empty(x, (N, cdiv(H * W, tile), 2, C), "float32")
    # Program (t, b, n) owns pixels [t tile, (t + 1) tile) and channels [b BC, (b + 1) BC) of image n, and partial (n, t).
    grid = (partials.shape[1], cdiv(C, BC), N)
    launch(_moments, grid, x, partials, H * W, tile, C, bytes=x.nbytes, BP=pixels_of(x), BC=BC)
    return partials, tile


def normalise(
    x: Array, partials: Array, tile: int, skip: Array | None, norm: NormSettings, *,
    scale: Array | None = None, shift: Array | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """y, mean, rstd from x [N,H,W,C] and its partials [N,T,2,C]: mean and sum of squared deviations of each `tile` pixels.

    The pixels of an image are counted row by row, T = ceil(H W / tile), and the last tile may be shorter.
    """
    x, skip, scale, shift = contiguous(x, skip, scale, shift)
    (N, H, W, C), BC = x.shape, channels_of(x)
    y, mean, rstd = empty(x, x.shape), empty(x, (N, C), "float32"), empty(x, (N, C), "float32")
    partials, tile = shortened(partials, H * W, tile)
    rows, tiles = tile_of(x), partials.shape[1]
    # Program (t, b, n) owns pixels [t rows, (t + 1) rows) and channels [b BC, (b + 1) BC) of y; t = 0 also mean and rstd.
    launch(
        _normalise, (cdiv(H * W, rows), cdiv(C, BC), N),
        x, skip, y, partials, mean, rstd, scale, shift, H * W, tile, tiles, rows, C,
        norm.negative_slope, float(norm.eps),
        bytes=x.nbytes + y.nbytes + (0 if skip is None else skip.nbytes), BP=pixels_of(x), BC=BC, BT=BT,
    )  # fmt: skip
    return y, mean, rstd


def pixels_of(x: Array) -> int:
    """Pixels in registers at a time."""
    return BYTES // x.dtype.itemsize


def tile_of(x: Array) -> int:
    """Pixels of a program: so many that there are about PROGRAMS in all."""
    N, H, W, C = x.shape
    tiles = max(1, PROGRAMS // (N * cdiv(C, 64)))
    return cdiv(cdiv(H * W, tiles), pixels_of(x)) * pixels_of(x)
