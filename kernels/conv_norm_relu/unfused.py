"""The block from two kernels, one after the other: the formula of conv_norm_relu and of conv_transpose_norm_relu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernels.device import Array
from kernels.instance_norm.settings import NormSettings


def unfused(conv: Any, instance_norm: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """forward and backward of the block, from implementations of conv2d or conv_transpose2d and of instance_norm."""

    def forward(
        x: Array, w: Array, skip: Array | None = None, *, geometry: Any, norm: NormSettings
    ) -> tuple[Array, Array, Array, Array]:
        z = conv.forward(x, w, geometry=geometry)
        out, mean, rstd = instance_norm.forward(z, skip, norm=norm)
        return out, z, mean, rstd

    def backward(
        dout: Array, x: Array, w: Array, z: Array, mean: Array, rstd: Array, *,
        geometry: Any, norm: NormSettings, need: tuple[bool, bool] = (True, True),
    ) -> tuple[Array | None, Array | None]:  # fmt: skip
        dz = instance_norm.backward(dout, z, mean, rstd, norm=norm)
        dx, dw, _ = conv.backward(dz, x, w, geometry=geometry, need=(*need, False))
        return dx, dw

    return forward, backward
