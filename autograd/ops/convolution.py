"""What conv2d and conv_transpose2d share in the graph, and their gradients as ops of their own, which have gradients too.

A convolution is linear in its picture x and in its weight w. With the upstream gradient dy it makes one number out of
three things, T(dy, x, w) = <dy, conv(x, w)>, linear in each; every gradient is T with one of them left out:

    y  = conv(x, w)                 T without dy
    dx = InputGradient(dy, w)       T without x
    dw = WeightGradient(dy, x)      T without w

The gradients of each of these are the other two, with the new upstream gradient in the empty place. So the three are
closed: derivatives of any order need no further kernel.
"""

from __future__ import annotations

from typing import Any

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.conv2d.stacked import for_weight
from kernels.device import Array


class Convolution(Function):
    """The op named by `op`; its settings are the geometry."""

    def forward(self, x: Array, w: Array, b: Array | None) -> Array:
        self.save(x, w)
        return self.y(x, w, b)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, w = self.saved
        return self.gradients(dy, x, w, self.need, **self.fused())

    def backward_in_ops(self, dy: Tensor, x: Tensor, w: Tensor, b: Tensor | None) -> tuple[Tensor | None, ...]:
        dx = InputGradient(of=self, like=x.data)(dy, w) if self.wanted[0] else None
        dw = WeightGradient(of=self, like=w.data)(dy, x) if self.wanted[1] else None
        return dx, dw, dy.sum(axis=(0, 1, 2)) if self.wanted[2] else None

    def y(self, x: Array, w: Array, b: Array | None = None) -> Array:
        return for_weight(self.kernel, w).forward(x, w, b, **self.settings)

    def gradients(
        self, dy: Array, x: Array, w: Array, need: tuple[bool, ...], **fused: Any
    ) -> tuple[Array | None, ...]:
        """dx, dw, db as far as needed; of an array whose own gradient alone is needed only the shape matters."""
        return for_weight(self.kernel, w).backward(dy, x, w, **self.settings, need=need, **fused)


class InputGradient(Function):
    """dx of the convolution `of`; `like` has its shape."""

    def forward(self, dy: Array, w: Array) -> Array:
        self.save(dy, w)
        return self.settings["of"].gradients(dy, self.settings["like"], w, (True, False, False))[0]

    def backward(self, u: Array) -> tuple[Array | None, Array | None]:
        (dy, w), of = self.saved, self.settings["of"]
        return (
            of.y(u, w) if self.need[0] else None,
            of.gradients(dy, u, w, (False, True, False))[1] if self.need[1] else None,
        )

    def backward_in_ops(self, u: Tensor, dy: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        of = self.settings["of"]
        return type(of)(**of.settings)(u, w, None), WeightGradient(of=of, like=w.data)(dy, u)


class WeightGradient(Function):
    """dw of the convolution `of`; `like` has its shape."""

    def forward(self, dy: Array, x: Array) -> Array:
        self.save(dy, x)
        return self.settings["of"].gradients(dy, x, self.settings["like"], (False, True, False))[1]

    def backward(self, u: Array) -> tuple[Array | None, Array | None]:
        (dy, x), of = self.saved, self.settings["of"]
        return (
            of.y(x, u) if self.need[0] else None,
            of.gradients(dy, x, u, (True, False, False))[0] if self.need[1] else None,
        )

    def backward_in_ops(self, u: Tensor, dy: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        of = self.settings["of"]
        return type(of)(**of.settings)(x, u, None), InputGradient(of=of, like=x.data)(dy, u)
