"""Adam in plain array code."""

from __future__ import annotations

from collections.abc import Sequence

from kernels.device import Array, xp_of


def update(
    params: Sequence[Array],
    grads: Sequence[Array],
    m: Sequence[Array],
    v: Sequence[Array],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
) -> None:
    for p, g, m_, v_ in zip(params, grads, m, v, strict=True):
        m_ += (1 - beta1) * (g - m_)
        v_ += (1 - beta2) * (g * g - v_)
        denominator = xp_of(p).sqrt(v_)
        denominator *= (1 - beta2**step) ** -0.5
        denominator += eps
        p -= lr / (1 - beta1**step) * m_ / denominator
