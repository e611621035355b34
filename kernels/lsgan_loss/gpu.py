"""LSGAN loss on the GPU: value and gradient in one pass over x.

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
def _loss(x, dx, partials, target, share, n, BLOCK: tl.constexpr):
    """Program i owns elements [i BLOCK, (i + 1) BLOCK) of n, and partial i: share times their sum of (x - target)^2, as a tree. dx = share d/dx, share = weight / n."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    value = tl.load(x + at, mask=at < n, other=0.0).to(tl.float32)
    error = value - target
    tl.store(dx + at, 2 * error * share, mask=at < n)
    loss = error * error
    tl.store(partials + tl.program_id(0), tl.sum(tl.where(at < n, loss, 0.0), 0) * share)


def forward(x: Array, *, target: float, weight: float = 1.0) -> tuple[Array, Array]:
    return loss_and_gradient(_loss, (x,), float(target), weight=weight)
