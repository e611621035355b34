"""conv + instance norm + activation, one after the other: what a fused version must equal."""

from __future__ import annotations

from kernels.conv2d import reference as conv2d
from kernels.device import Array
from kernels.instance_norm import reference as instance_norm


def forward(
    x: Array,
    w: Array,
    skip: Array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    padding_mode: str = "zeros",
    activation: str = "relu",
    slope: float = 0.2,
    eps: float = 1e-5,
) -> tuple[Array, Array, Array, Array]:
    z = conv2d.forward(x, w, stride=stride, padding=padding, padding_mode=padding_mode)
    out, mean, rstd = instance_norm.forward(z, skip, activation=activation, slope=slope, eps=eps)
    return out, z, mean, rstd


def backward(
    dout: Array,
    x: Array,
    w: Array,
    z: Array,
    mean: Array,
    rstd: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    padding_mode: str = "zeros",
    activation: str = "relu",
    slope: float = 0.2,
    eps: float = 1e-5,
    need: tuple[bool, bool] = (True, True),
) -> tuple[Array | None, Array | None]:
    dz = instance_norm.backward(dout, z, mean, rstd, activation=activation, slope=slope, eps=eps)
    dx, dw, _ = conv2d.backward(
        dz, x, w, stride=stride, padding=padding, padding_mode=padding_mode, need=(*need, False)
    )
    return dx, dw
