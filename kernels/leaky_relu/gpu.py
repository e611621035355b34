"""Leaky ReLU on the GPU. Grid: one program for 1024 elements. Bytes: each array once (2 forward, 3 backward)."""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.launch import contiguous, empty, launch

BLOCK = 1024


@triton.jit
def _forward(x, y, slope, n, BLOCK: tl.constexpr):
    """Program i owns elements [i BLOCK, (i + 1) BLOCK) of n: y = x or slope x."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    value = tl.load(x + at, mask=at < n, other=0.0).to(tl.float32)
    tl.store(y + at, tl.where(value > 0, value, value * slope), mask=at < n)


@triton.jit
def _backward(dy, y, dx, slope, n, BLOCK: tl.constexpr):
    """Program i owns elements [i BLOCK, (i + 1) BLOCK) of n: dx = dy or slope dy, as y, the activation's output, says."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    gradient = tl.load(dy + at, mask=at < n, other=0.0).to(tl.float32)
    value = tl.load(y + at, mask=at < n, other=0.0).to(tl.float32)
    tl.store(dx + at, tl.where(value > 0, gradient, gradient * slope), mask=at < n)


def forward(x: Array, *, slope: float) -> Array:
    (x,) = contiguous(x)
    y = empty(x, x.shape)
    # Program i owns elements [1024 i, 1024 (i + 1)).
    launch(_forward, (triton.cdiv(x.size, BLOCK),), x, y, float(slope), x.size, BLOCK=BLOCK)
    return y


def backward(dy: Array, y: Array, *, slope: float) -> Array:
    dy, y = contiguous(dy, y)
    dx = empty(y, y.shape)
    # Program i owns elements [1024 i, 1024 (i + 1)).
    launch(_backward, (triton.cdiv(y.size, BLOCK),), dy, y, dx, float(slope), y.size, BLOCK=BLOCK)
    return dx
