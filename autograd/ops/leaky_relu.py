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

    def backward(self, dy: Array) -> Array:
        return self.kernel.backward(dy, *self.saved, **self.settings)

    def backward_in_ops(self, dy: Tensor, x: Tensor) -> Tensor:
        return LeakyReluGradient(y=self.saved[0], **self.settings)(dy)


class LeakyReluGradient(Function):
    """dy where y is positive, else slope * dy: linear in dy, and its own adjoint. y is as good as constant."""

    op = "leaky_relu"
    linear = True

    def forward(self, dy: Array) -> Array:
        return self.kernel.backward(dy, **self.settings)

    backward = forward


def leaky_relu(x: Tensor, slope: float = 0.2) -> Tensor:
    """x where positive, else slope * x; 0 <= slope < 1."""
    return LeakyRelu(slope=slope)(x)


def relu(x: Tensor) -> Tensor:
    """x where positive, else 0."""
    return leaky_relu(x, 0.0)
