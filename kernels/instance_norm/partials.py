"""What tiles have left in `partials` [N,T,2,C], put together: moments are merged, sums are added, tile after tile.

Every program of `_normalise` and `_dx` does that for its channels, BT tiles at a time. Lane i takes tiles i, i + BT, i + 2 BT, ...;
behind the loop lanes are put together, once: across threads that costs barriers, which the loop is spared.

Long lists are shortened beforehand: a picture of 256x256 pixels has up to 1024 tiles, and if each of 512 programs read all of
them, that would be 268 MB from the L2 cache, eight times the picture. So a launch ahead puts SHARE tiles in a row together.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.launch import cdiv, empty, launch
from kernels.gpu.reduce import merge_lanes, merge_moments

BT = 32  # tiles at a time
MOST = 128  # tiles that every program reads for itself
SHARE = 32  # tiles that are put together where there are more


@triton.jit
def merged_moments(partials, first, last, pixels, tile, C, c, BT: tl.constexpr, BC: tl.constexpr):
    """Mean and sum of squared deviations [BC] of channels c [BC] over the tiles first, first + 1, ..., last - 1 of one image.

    partials       [T,2,C]: mean and sum of squared deviations of each tile
    pixels, tile   of the image, and of a tile; the last has what is left
    BT, BC         tiles at a time, channels
    """
    pivot = tl.load(partials + first * 2 * C + c, mask=c < C, other=0.0)  # [BC], so that a large mean costs no digits
    count, mean, m2 = tl.zeros((BT, 1), tl.float32), tl.zeros((BT, BC), tl.float32), tl.zeros((BT, BC), tl.float32)
    for start in range(first, last, BT):
        t = start + tl.arange(0, BT)  # [BT]
        inside, at = (t < last)[:, None] & (c < C)[None, :], t[:, None] * 2 * C + c[None, :]  # [BT,BC]
        more = tl.where(t < last, tl.minimum(pixels - t * tile, tile), 0).to(tl.float32)[:, None]  # [BT,1]
        value = tl.load(partials + at, mask=inside, other=0.0) - pivot[None, :]  # [BT,BC]
        square = tl.load(partials + at + C, mask=inside, other=0.0)  # [BT,BC]
        count, mean, m2 = merge_moments(count, mean, m2, more, value, square)
    mean, m2 = merge_lanes(count, mean, m2)  # [BC]
    return pivot + mean, m2


@triton.jit
def added_sums(partials, first, last, C, c, BT: tl.constexpr, BC: tl.constexpr):
    """Two sums [BC] over the tiles first, first + 1, ..., last - 1 of one image, of channels c [BC], from partials [T,2,C]."""
    one, other = tl.zeros((BT, BC), tl.float32), tl.zeros((BT, BC), tl.float32)  # [BT,BC]
    for start in range(first, last, BT):
        t = start + tl.arange(0, BT)  # [BT]
        inside, at = (t < last)[:, None] & (c < C)[None, :], t[:, None] * 2 * C + c[None, :]  # [BT,BC]
        one += tl.load(partials + at, mask=inside, other=0.0)
        other += tl.load(partials + at + C, mask=inside, other=0.0)
    return tl.sum(one, 0), tl.sum(other, 0)


@triton.jit
def _shorten(
    partials, fewer, tiles, pixels, tile, C, MOMENTS: tl.constexpr, SHARE: tl.constexpr, BT: tl.constexpr, BC: tl.constexpr
):  # fmt: skip
    """Program (t, b, n) owns channels [b BC, (b + 1) BC) of partial (n, t), that of tiles [t SHARE, (t + 1) SHARE) of image n.

    partials       [N,tiles,2,C] float32          fewer      [N,ceil(tiles / SHARE),2,C] float32, written
    MOMENTS        whether they are moments, of `pixels` of an image in tiles of `tile`; else they are sums
    SHARE, BT, BC  tiles of a program, those in registers at a time, channels
    """
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)  # [BC]
    partials += n * tiles * 2 * C
    fewer += (n * tl.num_programs(0) + t) * 2 * C + c
    first, last = t * SHARE, tl.minimum((t + 1) * SHARE, tiles)
    if MOMENTS:
        one, other = merged_moments(partials, first, last, pixels, tile, C, c, BT, BC)  # [BC]
    else:
        one, other = added_sums(partials, first, last, C, c, BT, BC)  # [BC]
    tl.store(fewer, one, mask=c < C)
    tl.store(fewer + C, other, mask=c < C)


def shortened(partials: Array, pixels: int = 0, tile: int = 0) -> tuple[Array, int]:
    """At most MOST partials [N,T,2,C] for each image, or few more, and the pixels of a tile.

    Those given are moments of `pixels` of an image, `tile` each; or, without these, sums.
    """
    (N, tiles, _, C), BC = partials.shape, channels_of(partials)
    if tiles <= MOST:
        return partials, tile
    fewer = empty(partials, (N, cdiv(tiles, SHARE), 2, C))
    # Program (t, b, n) owns channels [b BC, (b + 1) BC) of partial (n, t), that of tiles [32 t, 32 (t + 1)) of image n.
    launch(
        _shorten, (fewer.shape[1], cdiv(C, BC), N), partials, fewer, tiles, pixels, tile, C,
        MOMENTS=tile > 0, SHARE=SHARE, BT=BT, BC=BC,
    )  # fmt: skip
    return fewer, SHARE * tile


def channels_of(x: Array) -> int:
    """Channels of a program for an array whose last axis they are: a block of at most 64."""
    return min(triton.next_power_of_2(x.shape[-1]), 64)
