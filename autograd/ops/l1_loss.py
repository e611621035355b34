"""L1 loss in the graph; see kernels/l1_loss."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array


class L1Loss(Function):
    op = "l1_loss"

    def forward(self, x: Array, y: Array) -> Array:
        loss, dx = self.kernel.forward(x, y)
        self.save(dx)
        return loss

    def backward(self, dloss: Array) -> tuple[Array, Array | None]:
        (dx,) = self.saved
        dx = (dloss * dx).astype(dx.dtype, copy=False)
        return dx, -dx if self.need[1] else None


def l1_loss(x: Tensor, y: Tensor) -> Tensor:
    """mean(|x - y|) of two tensors of one shape."""
    return L1Loss()(x, y)
