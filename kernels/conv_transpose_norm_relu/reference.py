"""Transposed convolution + instance norm + activation, one after the other: what a fused version must equal."""

from __future__ import annotations

from kernels.conv2d.geometry import TransposedGeometry
from kernels.conv_transpose2d import reference as conv_transpose2d
from kernels.device import Array
from kernels.instance_norm import reference as instance_norm
from kernels.instance_norm.settings import NormSettings


def forward(
    x: Array, w: Array, skip: Array | None = None, *, geometry: TransposedGeometry, norm: NormSettings
) -> tuple[Array, Array, Array, Array]:
    z = conv_transpose2d.forward(x, w, geometry=geometry)
    out, mean, rstd = instance_norm.forward(z, skip, norm=norm)
    return out, z, mean, rstd


def backward(
    dout: Array, x: Array, w: Array, z: Array, mean: Array, rstd: Array, *,
    geometry: TransposedGeometry, norm: NormSettings, need: tuple[bool, bool] = (True, True),
) -> tuple[Array | None, Array | None]:  # fmt: skip
    dz = instance_norm.backward(dout, z, mean, rstd, norm=norm)
    dx, dw, _ = conv_transpose2d.backward(dz, x, w, geometry=geometry, need=(*need, False))
    return dx, dw
