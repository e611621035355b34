"""Concatenation in the graph; see kernels/concat."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array


class Concat(Function):
    op = "concat"

    def forward(self, *xs: Array) -> Array:
        axis = self.settings["axis"] % xs[0].ndim
        sides = {(*x.shape[:axis], *x.shape[axis + 1 :]) for x in xs}
        if len(sides) > 1 or len({x.ndim for x in xs}) > 1:
            shapes = ", ".join(str(x.shape) for x in xs)
            raise ValueError(f"concat: shapes {shapes} differ elsewhere than along axis {self.settings['axis']}")
        return self.kernel.forward(*xs, **self.settings)

    def backward(self, dy: Array) -> tuple[Array, ...]:
        axis = self.settings["axis"]
        return self.kernel.backward(dy, widths=[shape[axis] for shape in self.shapes], axis=axis)


def concat(*xs: Tensor, axis: int = -1) -> Tensor:
    """Tensors side by side along `axis` (channels by default); their other sides must agree."""
    return Concat(axis=axis)(*xs)
