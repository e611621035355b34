"""Instance normalisation in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of
from kernels.instance_norm.settings import NormSettings


def forward(x: Array, skip: Array | None = None, *, norm: NormSettings) -> tuple[Array, Array, Array]:
    mean = pixel_mean(x)  # [N,C]
    y = x - over_pixels(mean)
    rstd = 1 / xp_of(x).sqrt(pixel_mean(y * y) + norm.eps)  # [N,C]
    y *= over_pixels(rstd)  # x_hat
    y = activated(y, norm)
    if skip is not None:
        y += skip
    return y, mean, rstd


def backward(dy: Array, x: Array, mean: Array, rstd: Array, *, norm: NormSettings) -> Array:
    x_hat = (x - over_pixels(mean)) * over_pixels(rstd)
    dy = before_activation(dy, x_hat, norm)
    # Normalising removes two degrees of freedom: the mean of the gradient and its share along x_hat.
    along = pixel_mean(dy * x_hat)  # [N,C]
    x_hat *= over_pixels(along)
    dx = dy - over_pixels(pixel_mean(dy))
    dx -= x_hat
    dx *= over_pixels(rstd)
    return dx  # [N,H,W,C]


def activated(y: Array, norm: NormSettings) -> Array:
    """act(y)"""
    negative = norm.negative_slope
    return y if negative == 1 else xp_of(y).where(y > 0, y, y * y.dtype.type(negative))


def before_activation(dy: Array, y: Array, norm: NormSettings) -> Array:
    """The gradient of y from dy, that of act(y)."""
    negative = norm.negative_slope
    return dy if negative == 1 else xp_of(y).where(y > 0, dy, dy * dy.dtype.type(negative))


def pixel_mean(x: Array) -> Array:
    """Mean over the pixels of [N,H,W,C]: [N,C]. Rows first, so that float32 sums stay short and exact."""
    return x.mean(axis=2).mean(axis=1)


def over_pixels(statistic: Array) -> Array:
    """[N,C] -> [N,1,1,C]"""
    return statistic[:, None, None, :]
