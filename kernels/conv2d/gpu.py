"""Convolution on the GPU: three implicit matrix products (see kernels/conv2d/implicit_gemm.py).

    y        fprop, one launch
    dx       dgrad, one launch; two where the picture was mirrored and nobody has made the halo (reflect_halo.py)
    dw, db   wgrad, one launch, and one more where the pixels are cut into slices

What is slow: 3 channels under a 7x7 kernel. In y and dw of the head a tile is 16 wide at least, and x is read anew for each
of 49 taps, 411 MB from the L2 cache for a picture of 256x256x64 in bf16; dx of the stem meets 49 taps likewise.
"""

from __future__ import annotations

from kernels.add import gpu as add
from kernels.conv2d.dgrad import dgrad
from kernels.conv2d.fprop import fprop
from kernels.conv2d.geometry import Geometry
from kernels.conv2d.reflect_halo import takes_halo, with_halo
from kernels.conv2d.stacked import stack_size, unstacked
from kernels.conv2d.wgrad import wgrad
from kernels.device import Array
from kernels.gpu.epilogue import Epilogue
from kernels.gpu.launch import contiguous
from kernels.reflection_pad import gpu as reflection_pad

STACKED = EPILOGUE = True


def forward(x: Array, w: Array, b: Array | None = None, *, geometry: Geometry) -> Array:
    x, w, b = contiguous(x, w, b)
    geometry.check(x.shape, w.shape)
    return fprop(x, w, b, geometry.output_size(x.shape, w.shape), geometry)[0]


def backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    geometry: Geometry,
    need: tuple[bool, bool, bool] = (True, True, True),
    epilogue: Epilogue | None = None,
) -> tuple[Array | None, Array | None, Array | None]:
    dy, x, w = contiguous(dy, x, w)
    dx = dw = db = None
    if need[0]:
        dx = input_gradient(dy, w, x.shape[1:3], geometry, epilogue=epilogue)
    if need[1] or need[2]:
        dw, db = wgrad(x, dy, w.shape[-4:-2], geometry, stack=stack_size(x, w), bias=need[2])
        dw, db = unstacked(w, dw, db)
    return dx, dw if need[1] else None, db


def input_gradient(
    dy: Array,
    w: Array,
    size: tuple[int, int],
    geometry: Geometry,
    *,
    halo: bool = False,
    epilogue: Epilogue | None = None,
) -> Array:
    """dx [N,*size,C] from dy [N,P,Q,K], which may have its `halo` already."""
    if not geometry.reflect:
        return dgrad(dy, w, None, size, geometry, epilogue=epilogue)[0]
    if takes_halo(w.shape[-4:-2], geometry):
        dy = dy if halo else with_halo(dy, geometry.padding)
        return dgrad(dy, w, None, size, geometry, halo=True, epilogue=epilogue)[0]
    # No network of ours has such a layer: by way of the padded picture, and what an epilogue does comes after.
    H, W = (n + 2 * geometry.padding for n in size)
    padded = dgrad(dy, w, None, (H, W), Geometry(geometry.stride))[0]
    dx = reflection_pad.backward(padded, pad=geometry.padding)
    return dx if epilogue is None or epilogue.onto is None else add.forward(dx, epilogue.onto)
