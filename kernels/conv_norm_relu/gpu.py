"""The fused block on the GPU: two launches forward, where one op after the other would take four.

    1  z = correlate(x, w); while a tile of z is in registers, its mean and squared deviations go to `partials`
    2  merge the partials, normalise, activate, add the skip: instance_norm's second launch

Why not one: a channel's mean needs every pixel, and a program cannot wait for all the others. The first launch saves
reading z once, the address arithmetic saves writing and reading a padded x.

Backward: dz, then dx and dw, which both read it. dz takes one launch where `sums` came with dout, else two (a last
contribution to dout that is a convolution's leaves them; see kernels/gpu/epilogue.py). With mirrored edges that launch
extends dz (kernels/conv2d/reflect_halo.py), so that dx is one launch too.

Bytes forward: x, w, z written and read, out, skip. Statistics come from the float32 tile, also where z is stored as bf16.
"""

from __future__ import annotations

from typing import Any

from kernels.conv2d import gpu as conv2d
from kernels.conv2d.implicit_gemm import correlate
from kernels.conv2d.reflect_halo import fits
from kernels.conv2d.stacked import groups
from kernels.device import Array
from kernels.gpu.epilogue import Epilogue, Sums
from kernels.gpu.launch import contiguous
from kernels.instance_norm import gpu as instance_norm

GROUPED = EPILOGUE = SUMS = True


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
    sums: Sums | None = None,
    epilogue: Epilogue | None = None,
) -> tuple[Array | None, Array | None]:
    x, w = contiguous(x, w)
    geometry: dict[str, Any] = dict(stride=stride, padding=padding, reflect=padding_mode == "reflect")
    reach = padding if need[0] and geometry["reflect"] and fits(w.shape[-4:-2], padding, stride) else 0
    geometry["extended_by"] = reach * (reach + 1)
    dz = instance_norm.gradient(dout, z, mean, rstd, activation=activation, slope=slope, sums=sums, padding=reach)
    dx = dw = None
    if need[0]:
        dx = conv2d.input_gradient(dz, w, x.shape[1:3], epilogue=epilogue, **geometry)
    if need[1]:
        dw, _ = conv2d.weight_gradient(x, dz, w.shape[-4:-2], groups(x, w), **geometry)
        (dw,) = conv2d.unstacked(w, dw)
    return dx, dw
