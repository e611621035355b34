"""The mean as a loss in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of


def forward(x: Array, *, weight: float = 1.0) -> tuple[Array, Array]:
    number = x.dtype.type
    return x.mean() * number(weight), xp_of(x).full_like(x, weight / x.size)
