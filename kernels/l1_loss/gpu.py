"""L1 loss on the GPU: value and gradient in one pass over x and y.

Grid: one program for 1024 elements; each leaves its share of the loss, and where there are several, a second launch of one
program adds those in order.
Bytes: x and y read and dx written once.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.reduce import loss_and_gradient


@triton.jit
def _loss(x, y, dx, partials, share, n, BLOCK: tl.constexpr):
    """Program i owns elements [i BLOCK, (i + 1) BLOCK) of n, and partial i: share times their sum of |x - y|, as a tree. dx = share sign(x - y)."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    value = tl.load(x + at, mask=at < n, other=0.0).to(tl.float32)
    error = value - tl.load(y + at, mask=at < n, other=0.0).to(tl.float32)  # 0 in lanes past the end
    tl.store(dx + at, tl.where(error > 0, share, tl.where(error < 0, -share, 0.0)), mask=at < n)
    tl.store(partials + tl.program_id(0), tl.sum(tl.abs(error), 0) * share)


def forward(x: Array, y: Array, *, weight: float = 1.0) -> tuple[Array, Array]:
    if x.shape != y.shape:
        raise ValueError(f"l1_loss: shapes {x.shape} and {y.shape} differ")
    return loss_and_gradient(_loss, (x, y), weight=weight)
