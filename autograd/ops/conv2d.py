"""Convolution in the graph; see kernels/conv2d."""

from __future__ import annotations

from typing import Any

from autograd.fusion import Fused
from autograd.tensor import Tensor
from kernels.conv2d.geometry import geometry
from kernels.device import Array
from kernels.dispatch import for_weight


class Conv2d(Fused):
    op = "conv2d"
    takes = "x [N,H,W,C], w [R,S,C,K]|[G,R,S,C,K], b [K]|[G,K]?"

    def forward(self, x: Array, w: Array, b: Array | None) -> Array:
        self.save(x, w)
        return self.fprop(x, w, b)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, w = self.saved
        return self.gradients(dy, x, w, self.need, **self.fused())

    def fprop(self, x: Array, w: Array, b: Array | None = None) -> Array:
        return for_weight(self.kernel, w).forward(x, w, b, **self.settings)

    def gradients(self, dy: Array, x: Array, w: Array, need: tuple[bool, ...], **fused: Any) -> tuple[Any, ...]:
        """dx, dw, db as far as needed; of an array whose own gradient alone is needed only the shape matters."""
        return for_weight(self.kernel, w).backward(dy, x, w, **self.settings, need=need, **fused)

    def dgrad(self, dy: Array, x: Array, w: Array) -> Array:
        return self.gradients(dy, x, w, (True, False, False))[0]

    def wgrad(self, dy: Array, x: Array, w: Array) -> Array:
        return self.gradients(dy, x, w, (False, True, False))[1]


def conv2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, stride: int = 1, padding: int = 0, padding_mode: str = "zeros"
) -> Tensor:
    """x [N,H,W,C] with w [R,S,C,K] and b [K] -> [N,P,Q,K]. `padding_mode` is "zeros" or "reflect".

    Raises ValueError where shapes do not fit, TypeError where precisions differ.
    """
    return Conv2d(geometry=geometry(stride, padding, padding_mode))(x, w, b)
