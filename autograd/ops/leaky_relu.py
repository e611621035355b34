"""Leaky ReLU in the graph; see kernels/leaky_relu."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array


class LeakyRelu(Function):
    op = "leaky_relu"

    def forward(self, x: Array) -> Array:
        y = self.kernel.forward(x, **self.settings)
        self.save(y)
        return y


def leaky_relu(x: Tensor, slope: float = 0.2) -> Tensor:
    """x where positive, else slope * x; 0 <= slope < 1."""
    return LeakyRelu(slope=slope)(x)


def relu(x: Tensor) -> Tensor:
    """x where positive, else 0."""
    return leaky_relu(x, 0.0)
