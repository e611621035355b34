"""Dropout in the graph; see kernels/dropout."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array


class Dropout(Function):
    op = "dropout"


def dropout(x: Tensor, p: float, key: int | Array) -> Tensor:
    """x with a share of about p of its elements zeroed and the rest divided by 1 - p; `key` says which, 0 <= key < 2**32.

    On a GPU it may be an int32 array there, whose first element has the key's bits.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p is {p}, wanted at least 0 and less than 1")
    return Dropout(p=p, key=key)(x)
