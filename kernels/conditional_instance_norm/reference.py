"""Conditional instance normalisation in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of
from kernels.instance_norm import reference as instance_norm
from kernels.instance_norm.reference import SLOPES, pixel_mean, spread


def forward(
    x: Array, scale: Array, shift: Array, *, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    x_hat, mean, rstd = instance_norm.forward(x, eps=eps)
    y = x_hat * spread(scale) + spread(shift)
    negative = SLOPES.get(activation, slope)
    if negative != 1:
        y = xp_of(x).where(y > 0, y, y * y.dtype.type(negative))
    return y, mean, rstd


def backward(
    dy: Array, x: Array, mean: Array, rstd: Array, scale: Array, shift: Array, *,
    activation: str = "none", slope: float = 0.2, eps: float = 1e-5,
) -> tuple[Array, Array, Array]:  # fmt: skip
    x_hat = (x - spread(mean)) * spread(rstd)
    negative = SLOPES.get(activation, slope)
    if negative != 1:
        dy = xp_of(x).where(x_hat * spread(scale) + spread(shift) > 0, dy, dy * dy.dtype.type(negative))
    pixels = x.shape[1] * x.shape[2]
    plain, along = pixel_mean(dy), pixel_mean(dy * x_hat)  # [N,C]
    dx = (dy - spread(plain) - x_hat * spread(along)) * spread(rstd * scale)
    return dx, along * pixels, plain * pixels  # dx, dscale, dshift
