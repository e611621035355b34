"""The mean as a loss in the graph; see kernels/mean."""

from __future__ import annotations

from autograd.ops.loss import Loss
from autograd.tensor import Tensor


class Mean(Loss):
    op = "mean"


def mean(x: Tensor, weight: float = 1.0) -> Tensor:
    """weight * mean(x) over all elements of x. One number."""
    return Mean(weight=weight)(x)
