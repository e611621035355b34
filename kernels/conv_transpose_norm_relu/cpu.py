"""The enlarging block for the CPU: the faster convolution and the faster norm, one after the other."""

from __future__ import annotations

from kernels.conv2d.geometry import TransposedGeometry
from kernels.device import Array, Device
from kernels.dispatch import implementation
from kernels.instance_norm.settings import NormSettings

# Whatever the CPU has for these: without their cpu.py this stays correct.
conv_transpose2d, instance_norm = (implementation(op, Device("cpu")) for op in ("conv_transpose2d", "instance_norm"))


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
