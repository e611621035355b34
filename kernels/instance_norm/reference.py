"""Instance normalisation in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of

SLOPES = {"none": 1.0, "relu": 0.0}


def forward(
    x: Array, skip: Array | None = None, *, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    mean = pixel_mean(x)  # [N,C]
    y = x - spread(mean)
    rstd = 1 / xp_of(x).sqrt(pixel_mean(y * y) + eps)  # [N,C]
    y *= spread(rstd)  # x_hat
    negative = negative_slope(activation, slope)
    if negative != 1:
        y = xp_of(x).where(y > 0, y, y * y.dtype.type(negative))
    if skip is not None:
        y += skip
    return y, mean, rstd


def backward(
    dy: Array, x: Array, mean: Array, rstd: Array, *, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> Array:
    x_hat = (x - spread(mean)) * spread(rstd)
    negative = negative_slope(activation, slope)
    if negative != 1:
        dy = xp_of(x).where(x_hat > 0, dy, dy * dy.dtype.type(negative))
    # Normalising removes two degrees of freedom: the mean of the gradient and its share along x_hat.
    along = pixel_mean(dy * x_hat)  # [N,C]
    x_hat *= spread(along)
    dx = dy - spread(pixel_mean(dy))
    dx -= x_hat
    dx *= spread(rstd)
    return dx  # [N,H,W,C]


def negative_slope(activation: str, slope: float) -> float:
    """The activation's slope below 0; `slope` is that of the leaky one."""
    return float(SLOPES.get(activation, slope))


def check_activation(activation: str) -> None:
    """ValueError for an activation that there is not."""
    if activation not in ("none", "relu", "leaky_relu"):
        raise ValueError(f"instance_norm: unknown activation {activation!r}; wanted none, relu or leaky_relu")


def pixel_mean(x: Array) -> Array:
    """Mean over the pixels of [N,H,W,C]: [N,C]. Rows first, so that float32 sums stay short and exact."""
    return x.mean(axis=2).mean(axis=1)


def spread(statistic: Array) -> Array:
    """[N,C] -> [N,1,1,C]"""
    return statistic[:, None, None, :]
