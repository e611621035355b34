"""What the losses share: the kernel gives value and gradient in one pass, so the backward has nothing left to do."""

from __future__ import annotations

from typing import Any

from autograd.checks import check_numbers
from autograd.function import Function, one
from kernels.device import Array


class Loss(Function):
    """A loss times a weight, perhaps against one constant label; the gradient of its first input is all that is kept."""

    def __init__(self, **settings: float) -> None:
        check_numbers(self.name, settings)
        super().__init__(**settings)

    def forward(self, *xs: Array) -> Array:
        loss, dx = self.kernel.forward(*xs, **self.settings)
        self.save(dx)
        return loss

    def backward(self, dloss: Array) -> Any:
        (dx,) = self.saved
        if dloss is one(self.device, dloss.dtype):  # what `backward` starts from: the loss itself, or a term of the sum
            return dx
        return (dloss * dx).astype(dx.dtype, copy=False)
