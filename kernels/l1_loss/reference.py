"""L1 loss in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of


def forward(x: Array, y: Array, *, weight: float = 1.0) -> tuple[Array, Array]:
    if x.shape != y.shape:
        raise ValueError(f"l1_loss: shapes {x.shape} and {y.shape} differ")
    error = x - y
    number = x.dtype.type
    return abs(error).mean() * number(weight), xp_of(x).sign(error) * number(weight / x.size)
