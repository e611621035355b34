"""Convolution in the graph; see kernels/conv2d."""

from __future__ import annotations

from autograd.ops.convolution import Convolution
from autograd.tensor import Tensor
from kernels.conv2d.geometry import geometry


class Conv2d(Convolution):
    op = "conv2d"


def conv2d(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, stride: int = 1, padding: int = 0, padding_mode: str = "zeros"
) -> Tensor:
    """x [N,H,W,C] with w [R,S,C,K] and b [K] -> [N,P,Q,K]. `padding_mode` is "zeros" or "reflect".

    Raises ValueError where shapes do not fit, TypeError where precisions differ.
    """
    return Conv2d(geometry=geometry(stride, padding, padding_mode))(x, w, b)
