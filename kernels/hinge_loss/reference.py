"""Hinge loss in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of


def forward(x: Array, *, target: float, weight: float = 1.0) -> tuple[Array, Array]:
    number = x.dtype.type
    margin = 1 - x * number(target)
    loss = xp_of(x).maximum(margin, 0).mean() * number(weight)
    return loss, (margin > 0) * number(-target * weight / x.size)
