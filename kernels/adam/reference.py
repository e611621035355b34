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
    control: Array | None = None,
) -> None:
    rate, root = rates(lr, beta1, beta2, step) if control is None else control
    for p, g, m_, v_ in zip(params, grads, m, v, strict=True):
        m_ += (1 - beta1) * (g - m_)
        v_ += (1 - beta2) * (g * g - v_)
        denominator = xp_of(p).sqrt(v_)
        denominator *= root
        denominator += eps
        p -= rate * m_ / denominator


def rates(lr: float, beta1: float, beta2: float, step: int) -> tuple[float, float]:
    """What depends on lr and step: the factor of m, and the factor of sqrt(v)."""
    return lr / (1 - beta1**step), (1 - beta2**step) ** -0.5
