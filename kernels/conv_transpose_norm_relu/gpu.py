"""The enlarging block on the GPU: two launches forward, as in conv_norm_relu, and what there follows backward.

    1  z = dgrad of x; while a tile of one phase of z is in registers, its mean and squared deviations go to `partials`
    2  merge the partials, normalise, activate, add the skip: instance_norm's second launch

Where a phase's pixels do not divide into tiles, a launch of its own takes the statistics. Grid and bytes: see
kernels/conv2d/dgrad.py and kernels/conv_norm_relu/gpu.py.
"""

from __future__ import annotations

from kernels.conv2d.dgrad import dgrad
from kernels.conv2d.geometry import TransposedGeometry
from kernels.conv_transpose2d import gpu as conv_transpose2d
from kernels.device import Array
from kernels.gpu.epilogue import Epilogue, Sums
from kernels.gpu.launch import contiguous
from kernels.instance_norm.gradient import gradient
from kernels.instance_norm.normalise import moments, normalise
from kernels.instance_norm.settings import NormSettings

STACKED = EPILOGUE = SUMS = True


def forward(
    x: Array, w: Array, skip: Array | None = None, *, geometry: TransposedGeometry, norm: NormSettings
) -> tuple[Array, Array, Array, Array]:
    x, w = contiguous(x, w)
    size = geometry.output_size(x.shape, w.shape)
    z, partials, tile = dgrad(x, w, None, size, geometry.adjoint, swapped=True, statistics=True)
    if partials is None:
        partials, tile = moments(z)
    out, mean, rstd = normalise(z, partials, tile, skip, norm)
    return out, z, mean, rstd


def backward(
    dout: Array, x: Array, w: Array, z: Array, mean: Array, rstd: Array, *,
    geometry: TransposedGeometry, norm: NormSettings, need: tuple[bool, bool] = (True, True),
    sums: Sums | None = None, epilogue: Epilogue | None = None,
) -> tuple[Array | None, Array | None]:  # fmt: skip
    dz = gradient(dout, z, mean, rstd, norm, sums=sums)
    dx, dw, _ = conv_transpose2d.backward(dz, x, w, geometry=geometry, need=(*need, False), epilogue=epilogue)
    return dx, dw
