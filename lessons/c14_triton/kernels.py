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
