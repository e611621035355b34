"""Log loss on logits in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of


def forward(x: Array, *, target: float, weight: float = 1.0) -> tuple[Array, Array]:
    xp, number = xp_of(x), x.dtype.type
    tail = xp.exp(-abs(x))
    loss = (xp.maximum(x, 0) - x * number(target) + xp.log1p(tail)).mean()
    sigmoid = xp.where(x > 0, 1, tail) / (1 + tail)
    return loss * number(weight), (sigmoid - number(target)) * number(weight / x.size)
