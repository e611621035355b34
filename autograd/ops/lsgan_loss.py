"""Least-squares GAN loss in the graph; see kernels/lsgan_loss."""

from __future__ import annotations

from autograd.ops.loss import Loss
from autograd.tensor import Tensor


class LsganLoss(Loss):
    op = "lsgan_loss"


def lsgan_loss(x: Tensor, target: float, weight: float = 1.0) -> Tensor:
    """weight * mean((x - target)^2) over all elements of x, for a constant label: 1 real, 0 fake."""
    return LsganLoss(target=target, weight=weight)(x)
