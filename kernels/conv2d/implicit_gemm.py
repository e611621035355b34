"""Convolution as a matrix product whose left matrix is never built: what fprop.py, dgrad.py and wgrad.py share.

    fprop    y[n,p,q,k]  = sum over r,s,c of    x[n, p*stride + r - pad, q*stride + s - pad, c] * w[r,s,c,k]
    dgrad    dx[n,h,w,c] = sum over r,s,k of    dy[n, (h + pad - r) / stride, (w + pad - s) / stride, k] * w[r,s,c,k]
    wgrad    dw[r,s,c,k] = sum over n,p,q of    x[n, p*stride + r - pad, q*stride + s - pad, c] * dy[n,p,q,k]

conv2d's forward and its two gradients; a transposed convolution takes the same three in exchanged roles (dgrad, fprop, wgrad).

Unfolding gives [pixels, R*S*C] @ [R*S*C, K]. Here each block of that left matrix is gathered from x when its turn comes:
the reduction runs over one flat index, from which the tap (r, s) and the channel follow, and the tap shifts the address.
Mirroring is arithmetic on the address too, so that no padded picture exists. Where BK channels divide C, a block lies
within one tap and its loads are 16 bytes wide and, for a mirrored picture, free of masks. Where there are 3 channels, a
block runs across taps: the 147 numbers under a 7x7 kernel fill 5 blocks of 32, instead of 49 blocks holding 3 each.

Weights may be stacked: then each `images` images in a row have their own (kernels/conv2d/stacked.py).

Bytes, as the launches count them: every array once. A picture is read again for each tap and each channel tile, w by each
pixel tile; both come from the L2 cache, since what programs running together touch is a few rows and all of w (1-4 MB).
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.autotune import Tiles
from kernels.gpu.launch import cdiv, dtype_name, input_precision

PROGRAMS = 132  # multiprocessors of an H100: what one wave of tiles should fill


@triton.jit
def load(pointer, mask, MASKED: tl.constexpr):
    """The values at `pointer`, 0 where masked; without MASKED the mask costs nothing."""
    return tl.load(pointer, mask=mask, other=0.0) if MASKED else tl.load(pointer)


@triton.jit
def tap_and_channel(start, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """The flat indices start, start + 1, ... split; the tap is one number where BLOCK divides CHANNELS, else [BLOCK].

    `start` is a multiple of BLOCK, and so is its remainder. Before 3.9 Triton does not follow that by itself, and then loads
    2 bytes at a time (docs/fused_conv.md).
    """
    flat = start + tl.arange(0, BLOCK)  # [BLOCK]
    if CHANNELS % BLOCK == 0:
        tap = start // CHANNELS
        channel = tl.multiple_of(start % CHANNELS, BLOCK) + tl.arange(0, BLOCK)  # [BLOCK]
    elif BLOCK % CHANNELS == 0 and CHANNELS % 16 == 0:  # whole taps: loads can still be 16 bytes wide
        tap = start // CHANNELS + tl.arange(0, BLOCK) // CHANNELS  # [BLOCK]
        channel = tl.max_contiguous(tl.multiple_of(tl.arange(0, BLOCK) % CHANNELS, CHANNELS), CHANNELS)  # [BLOCK]
    else:
        tap = flat // CHANNELS  # [BLOCK]
        channel = flat % CHANNELS  # [BLOCK]
    return flat, tap, channel


def weight_strides(C: int, K: int, swapped: bool) -> dict[str, int]:
    """How far apart, in elements, two neighbouring channels c, and k, lie within one tap of w [R,S,C,K].

    `swapped`: w is held as [R,S,K,C], as a transposed convolution has it.
    """
    return dict(W_C=1, W_K=C) if swapped else dict(W_C=K, W_K=1)


def nbytes(*arrays: Array | None) -> int:
    """Of all arrays together."""
    return sum(a.nbytes for a in arrays if a is not None)


# -- how large a tile: what a compiler and arithmetic say; kernels/gpu/autotune.py measures


def choose_tiles(pixels: int, out: int, channels: int, like: Array, dgrad: bool = False) -> Tiles:
    """Tile [BM,BN] for so many pixels and channels out, steps of BK along a reduction over taps of `channels`, and warps.

    BM is at least 64, which Hopper's wgmma instruction works on. The larger a tile, the fewer bytes from L2 per product, so
    the largest is taken that still fills one wave of multiprocessors, or nearly. A residual layer (256 channels) has 64
    tiles of 128x128 for a picture of 4096 pixels: 128 of 64x128. Two pictures with stacked weights have 128 of 128x128, four
    have 128 of 128x256, which dgrad takes in bfloat16. Two more limits come from the registers:
    full float32 has no tensor cores and keeps both operands there (64x64, or 64x32 and no loads ahead for dgrad, whose
    addresses take more, shared by 8 warps), and a gather across taps keeps an address for each element (64 pixels, blocks
    of 32; of float32 shared by 8 warps).
    """
    full, widest = full_float32(like), step(like)
    BK = next((k for k in (64, 32, 16) if k <= widest and channels % k == 0), min(widest, 32))
    even, bf16 = not full and channels % BK == 0, dtype_name(like.dtype) == "bfloat16"
    wave = 0.9 * PROGRAMS if bf16 else PROGRAMS  # of TF32 a block in one launch has no room for larger tiles
    if even and dgrad and bf16 and cdiv(pixels, 128) * (out // 256) >= wave:
        return dict(BM=128, BN=256, BK=BK, num_warps=8, num_stages=3)  # fprop's statistics spill on sm_100
    BN = min((32 if dgrad else 64) if full else 128, max(16, triton.next_power_of_2(out)))
    large = even and cdiv(pixels, 128) * cdiv(out, BN) >= wave
    across = dtype_name(like.dtype) == "float32" and channels % BK != 0
    warps = 8 if full or across or (large and BN == 128) else 4
    stages = 3 if not full else 1 if dgrad else 2 if channels % BK else 3
    return dict(BM=128 if large else 64, BN=BN, BK=BK, num_warps=warps, num_stages=stages)


def candidates(tiles: Tiles) -> list[Tiles]:
    """The table's tiles and a few around them, for measuring."""
    BN = min(tiles["BN"], 128)  # 64 pixels of 256 channels are too much for 4 warps
    near = [dict(BM=128, BN=BN, num_warps=8), dict(BM=64, BN=BN, num_warps=4), dict(num_stages=4), dict(num_stages=2)]
    if tiles["BN"] > 64:
        near += [dict(BN=64, num_warps=4), dict(BM=64, BN=64, num_warps=4)]
    found = [tiles]
    for change in near:
        if (changed := tiles | change) not in found:
            found.append(changed)
    return found


def step(like: Array) -> int:
    """How far to go along a reduction at a time, in elements: 128 bytes, or what registers hold in full float32."""
    return 64 if dtype_name(like.dtype) == "bfloat16" else 16 if full_float32(like) else 32


def full_float32(like: Array) -> bool:
    """Whether products are exact float32 ones, which tensor cores do not make."""
    return dtype_name(like.dtype) == "float32" and input_precision() == "ieee"
