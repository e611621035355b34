"""L1 loss in the graph; see kernels/l1_loss."""

from __future__ import annotations

from autograd.ops.loss import Loss
from autograd.tensor import Tensor
from kernels.device import Array


class L1Loss(Loss):
    op = "l1_loss"
    takes = "x [...], y [...]"

    def backward(self, dloss: Array) -> tuple[Array, Array | None]:
        dx = super().backward(dloss)
        return dx, -dx if self.need[1] else None


def l1_loss(x: Tensor, y: Tensor, weight: float = 1.0) -> Tensor:
    """weight * mean(|x - y|) of two tensors of one shape."""
    return L1Loss(weight=weight)(x, y)
