"""Conditional instance normalisation in plain array code."""

from __future__ import annotations

import dataclasses

from kernels.device import Array
from kernels.instance_norm import reference as instance_norm
from kernels.instance_norm.reference import activated, before_activation, over_pixels, pixel_mean
from kernels.instance_norm.settings import NormSettings


def forward(x: Array, scale: Array, shift: Array, *, norm: NormSettings) -> tuple[Array, Array, Array]:
    x_hat, mean, rstd = instance_norm.forward(x, norm=dataclasses.replace(norm, activation="none"))
    return activated(x_hat * over_pixels(scale) + over_pixels(shift), norm), mean, rstd


def backward(
    dy: Array, x: Array, mean: Array, rstd: Array, scale: Array, shift: Array, *, norm: NormSettings
) -> tuple[Array, Array, Array]:
    x_hat = (x - over_pixels(mean)) * over_pixels(rstd)
    dy = before_activation(dy, x_hat * over_pixels(scale) + over_pixels(shift), norm)
    pixels = x.shape[1] * x.shape[2]
    plain, along = pixel_mean(dy), pixel_mean(dy * x_hat)  # [N,C]
    dx = (dy - over_pixels(plain) - x_hat * over_pixels(along)) * over_pixels(rstd * scale)
    return dx, along * pixels, plain * pixels  # dx, dscale, dshift
