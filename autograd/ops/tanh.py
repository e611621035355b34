"""tanh in the graph; see kernels/tanh."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array


class Tanh(Function):
    op = "tanh"

    def forward(self, x: Array) -> Array:
        y = self.kernel.forward(x)
        self.save(y)
        return y


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, element by element."""
    return Tanh()(x)
