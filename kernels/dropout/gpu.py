"""Dropout on the GPU. Grid: one program for 1024 elements. Bytes: x once, y once; the coins live in registers."""

from __future__ import annotations

import numpy as np
import triton
import triton.language as tl

from kernels.device import Array, xp_of
from kernels.dropout.reference import threshold
from kernels.gpu.launch import contiguous, empty, launch, upload

BLOCK = 1024


@triton.jit
def _mix(h):
    """Bits of a uint32 [BLOCK] well mixed: murmur3's last step."""
    h = (h ^ (h >> 16)) * 0x85EBCA6B
    h = (h ^ (h >> 13)) * 0xC2B2AE35
    return h ^ (h >> 16)


@triton.jit
def _drop(x, y, scale, key, least, n, BLOCK: tl.constexpr):
    """Program i owns elements [i BLOCK, (i + 1) BLOCK) of n: y = scale x where the coin of (place, key) reaches `least` of 2^32, else 0.

    key     [1] int32, of which the bits count: read here, so that a captured graph serves for every step
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    value = tl.load(x + at, mask=at < n, other=0.0).to(tl.float32)
    coin = _mix(_mix(at.to(tl.uint32)) ^ tl.load(key).to(tl.uint32))
    tl.store(y + at, tl.where(coin >= tl.cast(least, tl.uint32), value * scale, 0.0), mask=at < n)


def forward(x: Array, *, p: float, key: int | Array) -> Array:
    (x,) = contiguous(x)
    y = empty(x, x.shape)
    if isinstance(key, int):
        key = upload(xp_of(x), np.array([key], np.uint32).view(np.int32))
    # Program i owns elements [1024 i, 1024 (i + 1)).
    launch(_drop, (triton.cdiv(x.size, BLOCK),), x, y, 1 / (1 - p), key, threshold(p), x.size, BLOCK=BLOCK)
    return y


backward = forward
