"""The fused block on the GPU: two launches forward, where one op after the other would take four.

    1  z = correlate(x, w); while a tile of z is in registers, its mean and squared deviations go to `partials`
    2  merge the partials, normalise, activate, add the skip: instance_norm's second launch

Why not one: a channel's mean needs every pixel, and a program cannot wait for all the others. The first launch saves
reading z once, the address arithmetic saves writing and reading a padded x.

Backward: instance_norm's two launches give dz, which dw and dx both read; then conv2d's.

Bytes forward: x, w, z written and read, out, skip. Statistics come from the float32 tile, also where z is stored as bf16.
"""

from __future__ import annotations

from typing import Any

from kernels.conv2d import gpu as conv2d
from kernels.device import Array
from kernels.implicit_gemm import correlate
from kernels.instance_norm import gpu as instance_norm
from kernels.launch import contiguous

GROUPED = True


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
    x, w = contiguous(x, w)
    reflect = conv2d.mirrored(x, w, padding, padding_mode)
    size = conv2d.output_size(x.shape, w.shape, stride, padding)
    z, partials, tile = correlate(x, w, None, size, stride=stride, padding=padding, reflect=reflect, statistics=True)
    norm: dict[str, Any] = dict(activation=activation, slope=slope, eps=eps)
    out, mean, rstd = instance_norm.normalise(z, partials, tile, skip, **norm)
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
