"""Hinge loss in the graph; see kernels/hinge_loss."""

from __future__ import annotations

from autograd.ops.loss import Loss
from autograd.tensor import Tensor


class HingeLoss(Loss):
    op = "hinge_loss"


def hinge_loss(x: Tensor, target: float, weight: float = 1.0) -> Tensor:
    """weight * mean(max(0, 1 - target * x)), for a constant label: +1 real, -1 fake."""
    return HingeLoss(target=target, weight=weight)(x)
