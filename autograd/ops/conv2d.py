"""Convolution in the graph; see kernels/conv2d."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.conv2d.reference import check_padding_mode
from kernels.device import Array
from kernels.grouped import for_weight


class Conv2d(Function):
    op = "conv2d"

    def forward(self, x: Array, w: Array, b: Array | None) -> Array:
        self.save(x, w)
        return for_weight(self.kernel, w).forward(x, w, b, **self.settings)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return for_weight(self.kernel, self.saved[1]).backward(dy, *self.saved, **self.settings, need=self.need)


def conv2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, stride: int = 1, padding: int = 0, padding_mode: str = "zeros"
) -> Tensor:
    """x [N,H,W,C] with w [R,S,C,K] and b [K] -> [N,P,Q,K]. `padding_mode` is "zeros" or "reflect".

    Raises ValueError where shapes do not fit, TypeError where precisions differ.
    """
    check_padding_mode(padding_mode)
    return Conv2d(stride=stride, padding=padding, padding_mode=padding_mode)(x, w, b)
