"""Transposed convolution in the graph; see kernels/conv_transpose2d."""

from __future__ import annotations

from autograd.ops.conv2d import Conv2d
from autograd.tensor import Tensor
from kernels.conv2d.geometry import transposed_geometry


class ConvTranspose2d(Conv2d):
    op = "conv_transpose2d"


def conv_transpose2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, stride: int = 2, padding: int = 1, output_padding: int = 1
) -> Tensor:
    """x [N,H,W,C] with w [R,S,C,K] and b [K] -> [N,P,Q,K], P = (H-1)*stride - 2*padding + R + output_padding.

    Raises ValueError where shapes do not fit, TypeError where precisions differ.
    """
    return ConvTranspose2d(geometry=transposed_geometry(stride, padding, output_padding))(x, w, b)
