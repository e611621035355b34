"""What the losses share: the kernel gives value and gradient in one pass, so the backward has nothing left to do."""

from __future__ import annotations

from autograd.checks import check_numbers
from autograd.function import Function, one
from kernels.device import Array, Device


class LabelLoss(Function):
    """A loss of scores against one constant label, times a weight; the gradient is all that is kept."""

    def __init__(self, **settings: float) -> None:
        check_numbers(self.name, settings)
        super().__init__(**settings)

    def forward(self, x: Array) -> Array:
        loss, dx = self.kernel.forward(x, **self.settings)
        self.save(dx)
        return loss

    def backward(self, dloss: Array) -> Array:
        return scaled(self.saved[0], dloss, self.device)


def scaled(dx: Array, dloss: Array, device: Device) -> Array:
    """dloss * dx; dx itself where the loss is what `backward` started from, or a term of the sum that it started from."""
    return dx if dloss is one(device, dloss.dtype) else (dloss * dx).astype(dx.dtype, copy=False)
