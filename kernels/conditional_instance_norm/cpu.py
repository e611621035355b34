"""Conditional instance normalisation for the CPU: the loops of instance_norm, compiled with a scale and a shift."""

from __future__ import annotations

from kernels.conditional_instance_norm import reference
from kernels.cpu.threads import ready
from kernels.device import Array
from kernels.instance_norm.cpu import f4, gradients, normalised
from kernels.instance_norm.settings import NormSettings


def forward(x: Array, scale: Array, shift: Array, *, norm: NormSettings) -> tuple[Array, Array, Array]:
    if x.dtype != f4:
        return reference.forward(x, scale, shift, norm=norm)
    return normalised(x, (ready(scale), ready(shift)), None, norm)


def backward(
    dy: Array, x: Array, mean: Array, rstd: Array, scale: Array, shift: Array, *, norm: NormSettings
) -> tuple[Array, Array, Array]:
    if dy.dtype != f4:
        return reference.backward(dy, x, mean, rstd, scale, shift, norm=norm)
    return gradients(dy, x, mean, rstd, (ready(scale), ready(shift)), norm)
