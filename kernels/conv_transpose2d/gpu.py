"""Transposed convolution on the GPU: conv2d's three products in exchanged roles.

    y    dgrad of x       the four phases of stride 2 in one launch, 1 + 2 + 2 + 4 of a 3x3 kernel's taps
    dx   fprop of dy      a strided convolution
    dw   wgrad            with dy as the picture that is gathered from and x as the gradient
    db                    the sum over all pixels of dy: wgrad's row of ones alone, with no taps

Grid and bytes: see kernels/conv2d/dgrad.py, fprop.py and wgrad.py.
"""

from __future__ import annotations

from kernels.conv2d.dgrad import dgrad
from kernels.conv2d.fprop import fprop
from kernels.conv2d.geometry import Geometry, TransposedGeometry
from kernels.conv2d.stacked import stack_size, unstacked
from kernels.conv2d.wgrad import wgrad
from kernels.device import Array
from kernels.gpu.epilogue import Epilogue
from kernels.gpu.launch import contiguous

STACKED = EPILOGUE = True


def forward(x: Array, w: Array, b: Array | None = None, *, geometry: TransposedGeometry) -> Array:
    x, w, b = contiguous(x, w, b)
    return dgrad(x, w, b, geometry.output_size(x.shape, w.shape), geometry.adjoint, swapped=True)[0]


def backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    geometry: TransposedGeometry,
    need: tuple[bool, bool, bool] = (True, True, True),
    epilogue: Epilogue | None = None,
) -> tuple[Array | None, Array | None, Array | None]:
    dy, x, w = contiguous(dy, x, w)
    adjoint, kernel, stack = geometry.adjoint, w.shape[-4:-2], stack_size(x, w)
    dx = dw = db = None
    if need[0]:
        dx = fprop(dy, w, None, x.shape[1:3], adjoint, swapped=True, epilogue=epilogue)[0]
    if need[1]:
        dw = wgrad(dy, x, kernel, adjoint, stack=stack, swapped=True)[0]
    if need[2]:
        db = wgrad(dy, dy, (0, 1), Geometry(), stack=stack, bias=True)[1]
    dw, db = unstacked(w, dw, db)
    return dx, dw, db
