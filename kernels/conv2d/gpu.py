"""Convolution on the GPU: three implicit matrix products (see kernels/conv2d/implicit_gemm.py).

    y        fprop, one launch
    dx       dgrad, one launch; two where the picture was mirrored and nobody has made the halo (reflect_halo.py)
    dw, db   wgrad, one launch, and one more where the pixels are cut into slices

Under a wide kernel and with few channels on one side, the 7x7 stem and head, the same three multiply by a row of taps at a time
(row_of_taps.py); but where the few come out, y of the head and dx of the stem, few_out.py does.
"""

from __future__ import annotations

from kernels.add import gpu as add
from kernels.conv2d.dgrad import dgrad
from kernels.conv2d.few_out import fprop_few
from kernels.conv2d.fprop import fprop
from kernels.conv2d.geometry import Geometry
from kernels.conv2d.reflect_halo import halo_rows, takes_halo, with_halo
from kernels.conv2d.row_of_taps import bias_gradient, few, of_rows, pack, unfold, unpack
from kernels.conv2d.stacked import stack_size, unstacked
from kernels.conv2d.wgrad import wgrad
from kernels.device import Array
from kernels.gpu.epilogue import Deferred, Epilogue
from kernels.gpu.launch import contiguous
from kernels.reflection_pad import gpu as reflection_pad

STACKED = EPILOGUE = True


def forward(x: Array, w: Array, b: Array | None = None, *, geometry: Geometry) -> Array:
    x, w, b = contiguous(x, w, b)
    geometry.check(x.shape, w.shape)
    return product(x, w, b, geometry)[0]


def product(
    x: Array, w: Array, b: Array | None, geometry: Geometry, *, statistics: bool = False
) -> tuple[Array, Array | None, int]:
    """y [N,P,Q,K] of contiguous x, w and b, and with `statistics` what fprop leaves beside it."""
    size, side = geometry.output_size(x.shape, w.shape), few(w, geometry)
    if side == "out" and not statistics:
        return fprop_few(x, w, b, size, geometry), None, 0
    if side == "in":
        x, w, geometry = unfold(x, size[1], w.shape[-3], geometry), pack(w, "in"), of_rows(geometry)
    return fprop(x, w, b, size, geometry, statistics=statistics)


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
    return gradients(dy, x, w, geometry, need, epilogue=epilogue)


def gradients(
    dy: Array, x: Array, w: Array, geometry: Geometry, need: tuple[bool, bool, bool], *,
    halo: bool = False, epilogue: Epilogue | None = None, deferred: Deferred | None = None,
) -> tuple[Array | None, Array | None, Array | None]:  # fmt: skip
    """dx, dw and db of contiguous arrays; dy may have its `halo` already, if it `wants_halo`. For `deferred` see wgrad."""
    dx = dw = db = None
    if need[0]:
        dx = _dx(dy, w, x.shape[1:3], geometry, halo, epilogue)
    if need[1] or need[2]:
        dw, db = _dw(x, dy, w, geometry, need[2], halo_rows(geometry.padding) if halo else 0, deferred)
    return dx, dw if need[1] else None, db


def wants_halo(w: Array, geometry: Geometry) -> bool:
    """Whether dx is made from dy with its halo."""
    return takes_halo(w.shape[-4:-2], geometry) and few(w, geometry) != "in"


def _dx(dy: Array, w: Array, size: tuple[int, int], geometry: Geometry, halo: bool, epilogue: Epilogue | None) -> Array:
    """dx [N,*size,C] from dy [N,P,Q,K], which may have its halo already."""
    (R, S), padding, side, (H, W) = w.shape[-4:-2], geometry.padding, few(w, geometry), size
    if wants_halo(w, geometry) and not halo:
        dy, halo = with_halo(dy, padding), True
    if side == "out":
        dy, w, geometry = unfold(dy, W, S, geometry, gradient=True), pack(w, "out"), of_rows(geometry)
    if side != "in" and halo == geometry.reflect:
        return dgrad(dy, w, None, size, geometry, swapped=side == "out", halo=halo, epilogue=epilogue)[0]
    # Of few channels, and of no network's layers otherwise: by way of the padded picture, and what an epilogue does comes after.
    cut = 0 if geometry.reflect else padding
    H, W = H + 2 * (padding - cut), W + 2 * (padding - cut)
    if side == "in":
        dx = fprop_few(dy, w, None, (H, W), Geometry(1, R - 1 - cut, sides=S - 1 - cut), adjoint=True)
    else:
        dx = dgrad(dy, w, None, (H, W), Geometry(geometry.stride))[0]
    if geometry.reflect:
        dx = reflection_pad.backward(dx, pad=padding)
    return dx if epilogue is None or epilogue.onto is None else add.forward(dx, epilogue.onto)


def _dw(
    x: Array, dy: Array, w: Array, geometry: Geometry, bias: bool, halo: int, deferred: Deferred | None
) -> tuple[Array | None, Array | None]:
    """dw and db (or None) from dy with a `halo` of so many rows and columns, which are left out."""
    (R, S, C, K), stack, side = w.shape[-4:], stack_size(x, w), few(w, geometry)
    if halo and side == "out":  # few channels and a norm behind them: in no network of a usual width
        side = ""
    if side == "out":  # the picture's mirrored margin counts here: sums behind dy would be rounded
        rows = unfold(dy, x.shape[2] + 2 * geometry.padding, S, Geometry(), gradient=True)
        dw, _ = wgrad(x, rows, (R, 1), geometry, stack=stack, swapped=True)
        db = bias_gradient(dy, stack) if bias else None
    elif side == "in":
        rows = unfold(x, dy.shape[2], S, geometry)
        dw, db = wgrad(rows, dy, (R, 1), of_rows(geometry), stack=stack, bias=bias)
    else:
        dw, db = wgrad(x, dy, (R, S), geometry, stack=stack, bias=bias, halo=halo, deferred=deferred)
    if side:
        dw = unpack(dw, S, K if side == "out" else C, side)
    dw, db = unstacked(w, dw, db)
    return dw, db
