"""Resizing in the graph; see kernels/resize."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array


class Resize(Function):
    op = "resize"
    takes = "x [N,H,W,C]"

    def backward(self, dy: Array) -> Array:
        return self.kernel.backward(dy, input_size=self.shapes[0][1:3], mode=self.settings["mode"])


def resize(x: Tensor, size: tuple[int, int], mode: str = "nearest") -> Tensor:
    """x [N,H,W,C] resized to [N,P,Q,C], (P, Q) = size. `mode` is "nearest" or "bilinear"."""
    if not (isinstance(size, tuple | list) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)):
        raise ValueError(f"resize: size is {size!r}, wanted (P, Q) in pixels")
    return Resize(size=size, mode=mode)(x)
