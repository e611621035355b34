"""The mean as a loss on the GPU: value and gradient in one pass over x.

Grid: one program for 1024 elements; each leaves its share of the loss, and where there are several, a second launch of one
program adds those in order.
Bytes: x read and dx written once.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.reduce import loss_and_gradient


@triton.jit
def _mean(x, dx, partials, share, n, BLOCK: tl.constexpr):
    """Program i owns elements [i BLOCK, (i + 1) BLOCK) of n, and partial i: share times their sum, as a tree. dx = share = weight / n."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    value = tl.load(x + at, mask=at < n, other=0.0).to(tl.float32)
    tl.store(dx + at, tl.zeros((BLOCK,), tl.float32) + share, mask=at < n)
    tl.store(partials + tl.program_id(0), tl.sum(value, 0) * share)


def forward(x: Array, *, weight: float = 1.0) -> tuple[Array, Array]:
    return loss_and_gradient(_mean, (x,), weight=weight)
