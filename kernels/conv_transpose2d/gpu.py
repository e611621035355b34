"""Transposed convolution on the GPU: conv2d's adjoint in both directions.

    y  = spread(x, w)             the four phases of stride 2 in one launch, 1 + 2 + 2 + 4 of a 3x3 kernel's taps
    dx = correlate(dy, w)         a strided convolution
    dw                            conv2d's, with dy as the picture that is gathered from and x as the gradient
    db                            the sum over all pixels of dy: dw's row of ones alone, with no taps

Grid and bytes: see kernels/conv2d/implicit_gemm.py and kernels/conv2d/gpu.py.
"""

from __future__ import annotations

from typing import Any

from kernels.conv2d.gpu import unstacked, weight_gradient
from kernels.conv2d.implicit_gemm import correlate, spread
from kernels.conv2d.stacked import groups
from kernels.conv_transpose2d.reference import check, output_shape
from kernels.device import Array
from kernels.gpu.epilogue import Epilogue
from kernels.gpu.launch import contiguous

GROUPED = EPILOGUE = True


def forward(
    x: Array, w: Array, b: Array | None = None, *, stride: int = 2, padding: int = 1, output_padding: int = 1
) -> Array:
    x, w, b = contiguous(x, w, b)
    check(x, w if w.ndim == 4 else w[0], stride, output_padding)
    size = output_shape(x.shape, w.shape[-4:], stride, padding, output_padding)[1:3]
    return spread(x, w, b, size, stride=stride, padding=padding)


def backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: int = 2,
    padding: int = 1,
    output_padding: int = 1,
    need: tuple[bool, bool, bool] = (True, True, True),
    epilogue: Epilogue | None = None,
) -> tuple[Array | None, Array | None, Array | None]:
    dy, x, w = contiguous(dy, x, w)
    geometry: dict[str, Any] = dict(stride=stride, padding=padding)
    dx = dw = db = None
    if need[0]:
        dx = correlate(dy, w, None, x.shape[1:3], swap=True, epilogue=epilogue, **geometry)[0]
    if need[1]:
        dw = weight_gradient(dy, x, w.shape[-4:-2], groups(x, w), swap=True, **geometry)[0]
    if need[2]:
        db = weight_gradient(dy, dy, (0, 1), groups(x, w), stride=1, padding=0, bias=True)[1]
    dw, db = unstacked(w, dw, db)
    return dx, dw, db
