"""Conversion between precisions in the graph; see kernels/cast."""

from __future__ import annotations

from typing import Any

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array


class Cast(Function):
    op = "cast"
    reads = False

    def forward(self, x: Array) -> Array:
        ready = self.settings["ready"]
        self.view = ready is not None  # which is rewritten as x is: graphs over the old values notice
        return self.kernel.forward(x, dtype=self.settings["dtype"]) if ready is None else ready

    def backward(self, dy: Array) -> Array:
        return dy  # a leaf takes its gradient in its own precision


def cast(x: Tensor, dtype: Any, ready: Array | None = None) -> Tensor:
    """x in another precision. `ready` is that array where it has been made before: then nothing is computed."""
    return x if isinstance(x, Tensor) and x.dtype == dtype else Cast(dtype=dtype, ready=ready)(x)
