"""L1 loss in the graph; see kernels/l1_loss."""

from __future__ import annotations

from autograd.checks import check_numbers
from autograd.function import Function
from autograd.ops.label_loss import scaled
from autograd.tensor import Tensor
from kernels.device import Array


class L1Loss(Function):
    op = "l1_loss"
    takes = "x [...], y [...]"

    def forward(self, x: Array, y: Array) -> Array:
        loss, dx = self.kernel.forward(x, y, **self.settings)
        self.save(dx)
        return loss

    def backward(self, dloss: Array) -> tuple[Array, Array | None]:
        dx = scaled(self.saved[0], dloss, self.device)
        return dx, -dx if self.need[1] else None


def l1_loss(x: Tensor, y: Tensor, weight: float = 1.0) -> Tensor:
    """weight * mean(|x - y|) of two tensors of one shape."""
    check_numbers("l1_loss", {"weight": weight})
    return L1Loss(weight=weight)(x, y)
