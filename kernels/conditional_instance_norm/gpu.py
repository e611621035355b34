"""Conditional instance normalisation on the GPU: the kernels of instance_norm, which take a scale and a shift.

Two launches forward, two backward. The gradients of scale and shift are the two sums that dx needs anyway.
"""

from __future__ import annotations

from kernels.device import Array
from kernels.gpu.launch import empty
from kernels.instance_norm import gpu as instance_norm
from kernels.instance_norm.gradient import gradient
from kernels.instance_norm.settings import NormSettings


def forward(x: Array, scale: Array, shift: Array, *, norm: NormSettings) -> tuple[Array, Array, Array]:
    return instance_norm.forward(x, norm=norm, scale=scale, shift=shift)


def backward(
    dy: Array, x: Array, mean: Array, rstd: Array, scale: Array, shift: Array, *, norm: NormSettings
) -> tuple[Array, Array, Array]:
    dscale, dshift = empty(x, scale.shape, "float32"), empty(x, shift.shape, "float32")
    dx = gradient(dy, x, mean, rstd, norm, scale=scale, shift=shift, dscale=dscale, dshift=dshift)
    return dx, dscale, dshift
