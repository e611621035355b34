"""Two small Triton kernels for the chapter; those that train are in kernels/*/gpu.py. Importing this needs Triton."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def scale(x, y, n, BLOCK: tl.constexpr):
    """y = 2x. Program i owns elements [i BLOCK, (i + 1) BLOCK)."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    tl.store(y + at, 2 * tl.load(x + at, mask=at < n, other=0.0), mask=at < n)


@triton.jit
def mirror(x, y, W, pad, n, BLOCK: tl.constexpr):
    """Rows of W numbers, mirrored by pad on both sides; n numbers come out. Program i owns outputs [i BLOCK, (i + 1) BLOCK)."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, q = at // (W + 2 * pad), at % (W + 2 * pad)
    j = tl.abs(q - pad)
    j = tl.where(j < W, j, 2 * W - 2 - j)
    tl.store(y + at, tl.load(x + row * W + j, mask=at < n, other=0.0), mask=at < n)


# -- The first rungs of four ladders (ladder.py): right, and written as one first would.


@triton.jit
def reflected(i, n):
    """Where row i of a mirrored picture of n rows comes from."""
    i = tl.abs(i)
    return tl.where(i < n, i, 2 * n - 2 - i)


@triton.jit
def pad_numbers(x, y, H, W, C, pad, n, BLOCK: tl.constexpr):
    """y [H+2 pad,W+2 pad,C] from x [H,W,C]. Program i owns numbers [i BLOCK, (i + 1) BLOCK) of n, wherever they lie."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    c, pixel = at % C, at // C
    i = reflected(pixel // (W + 2 * pad) - pad, H)
    j = reflected(pixel % (W + 2 * pad) - pad, W)
    tl.store(y + at, tl.load(x + (i * W + j) * C + c, mask=at < n, other=0.0), mask=at < n)


@triton.jit
def l1_alone(x, y, dx, loss, n, BLOCK: tl.constexpr):
    """The L1 loss and its gradient by one single program, block after block."""
    lanes = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK)  # [BLOCK]
        error = tl.load(x + at, mask=at < n, other=0.0) - tl.load(y + at, mask=at < n, other=0.0)
        tl.store(dx + at, tl.where(error > 0, 1.0, tl.where(error < 0, -1.0, 0.0)) / n, mask=at < n)
        lanes += tl.abs(error)
    tl.store(loss, tl.sum(lanes, 0) / n)


@triton.jit
def norm_channel(x, y, pixels, C, eps, BP: tl.constexpr):
    """Instance norm of x [pixels,C]. Program c owns channel c: the mean, the variance around it, then every pixel."""
    c = tl.program_id(0)
    lanes = tl.zeros((BP,), tl.float32)
    for start in range(0, pixels, BP):
        p = start + tl.arange(0, BP)  # [BP]
        lanes += tl.load(x + p * C + c, mask=p < pixels, other=0.0)
    mean = tl.sum(lanes, 0) / pixels
    lanes = tl.zeros((BP,), tl.float32)
    for start in range(0, pixels, BP):
        p = start + tl.arange(0, BP)
        d = tl.where(p < pixels, tl.load(x + p * C + c, mask=p < pixels, other=0.0) - mean, 0.0)
        lanes += d * d
    rstd = 1 / tl.sqrt(tl.sum(lanes, 0) / pixels + eps)
    for start in range(0, pixels, BP):
        p = start + tl.arange(0, BP)
        d = tl.load(x + p * C + c, mask=p < pixels, other=0.0) - mean
        tl.store(y + p * C + c, d * rstd, mask=p < pixels)


@triton.jit
def conv_pixel(x, w, y, H, W, C: tl.constexpr, K: tl.constexpr, BC: tl.constexpr):
    """3×3 convolution of x [H,W,C] with w [3,3,C,K], mirrored by one pixel. Program i owns pixel i, all K channels."""
    pixel, k = tl.program_id(0), tl.arange(0, K)  # [K]
    total = tl.zeros((K,), tl.float32)
    for step in range(0, 9 * C, BC):
        tap = step // C
        i = reflected(pixel // W + tap // 3 - 1, H)
        j = reflected(pixel % W + tap % 3 - 1, W)
        c = step % C + tl.arange(0, BC)  # [BC]
        a = tl.load(x + (i * W + j) * C + c)  # [BC]
        b = tl.load(w + (tap * C + c)[:, None] * K + k[None, :])  # [BC,K]
        total += tl.sum(a[:, None] * b, 0)
    tl.store(y + pixel * K + k, total)
