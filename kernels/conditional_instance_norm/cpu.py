"""Conditional instance normalisation for the CPU: the loops of instance_norm, compiled with a scale and a shift."""

from __future__ import annotations

from typing import Any

from kernels.conditional_instance_norm import reference
from kernels.cpu.threads import ready
from kernels.device import Array
from kernels.instance_norm.cpu import f4, gradients, normalised
from kernels.instance_norm.reference import SLOPES


def forward(
    x: Array, scale: Array, shift: Array, *, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    if x.dtype != f4:
        return reference.forward(x, scale, shift, activation=activation, slope=slope, eps=eps)
    return normalised(x, (ready(scale), ready(shift)), None, SLOPES.get(activation, slope), eps)


def backward(
    dy: Array, x: Array, mean: Array, rstd: Array, scale: Array, shift: Array, **norm: Any
) -> tuple[Array, Array, Array]:
    if dy.dtype != f4:
        return reference.backward(dy, x, mean, rstd, scale, shift, **norm)
    negative = SLOPES.get(norm.get("activation", "none"), norm.get("slope", 0.2))
    return gradients(dy, x, mean, rstd, (ready(scale), ready(shift)), negative)
