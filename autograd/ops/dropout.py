"""Dropout in the graph; see kernels/dropout."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array


class Dropout(Function):
    op = "dropout"

    def forward(self, x: Array) -> Array:
        return self.kernel.forward(x, **self.settings)

    def backward(self, dy: Array) -> Array:
        return self.kernel.backward(dy, **self.settings)


def dropout(x: Tensor, p: float, key: int) -> Tensor:
    """x with a share of about p of its elements zeroed and the rest divided by 1 - p; `key` says which, 0 <= key < 2**32."""
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p is {p}, wanted at least 0 and less than 1")
    return Dropout(p=p, key=key)(x)
