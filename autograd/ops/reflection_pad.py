"""Reflection padding in the graph; see kernels/reflection_pad."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor


class ReflectionPad(Function):
    op = "reflection_pad"
    takes = "x [N,H,W,C]"


def reflection_pad(x: Tensor, pad: int) -> Tensor:
    """x [N,H,W,C] mirrored at its edges by `pad` pixels -> [N,H+2*pad,W+2*pad,C]. ValueError unless pad < H, W."""
    return ReflectionPad(pad=pad)(x)
