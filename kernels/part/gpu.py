"""A part of a batch on the GPU. Grid: one program for 1024 elements of dx. Bytes: dy read, dx written once."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.launch import contiguous, empty, launch

BLOCK = 1024


@triton.jit
def _place(dy, dx, first, length, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = (at >= first) & (at < first + length)
    tl.store(dx + at, tl.load(dy + at - first, mask=there, other=0.0), mask=at < n)


def backward(dy: Array, *, count: int, start: int) -> Array:
    (dy,) = contiguous(dy)
    dx = empty(dy, (count, *dy.shape[1:]))
    # Program i owns elements [1024 i, 1024 (i + 1)) of dx.
    first = start * (dy.size // len(dy))
    sizes = (first, dy.size, dx.size)
    launch(_place, (triton.cdiv(dx.size, BLOCK),), dy, dx, *sizes, bytes=dy.nbytes + dx.nbytes, BLOCK=BLOCK)
    return dx
