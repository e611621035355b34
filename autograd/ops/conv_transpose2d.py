"""Transposed convolution in the graph; see kernels/conv_transpose2d."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array
from kernels.grouped import for_weight


class ConvTranspose2d(Function):
    op = "conv_transpose2d"

    def forward(self, x: Array, w: Array, b: Array | None) -> Array:
        self.save(x, w)
        return for_weight(self.kernel, w).forward(x, w, b, **self.settings)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        return for_weight(self.kernel, self.saved[1]).backward(dy, *self.saved, **self.settings, need=self.need)


def conv_transpose2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, stride: int = 2, padding: int = 1, output_padding: int = 1
) -> Tensor:
    """x [N,H,W,C] with w [R,S,C,K] and b [K] -> [N,P,Q,K], P = (H-1)*stride - 2*padding + R + output_padding.

    Raises ValueError where shapes do not fit, TypeError where precisions differ.
    """
    return ConvTranspose2d(stride=stride, padding=padding, output_padding=output_padding)(x, w, b)
