"""Transposed convolution for the CPU: the same functions as conv2d, in exchanged roles; see conv2d/winograd.py and direct.py."""

from __future__ import annotations

import numpy as np

from kernels.conv2d import direct, winograd
from kernels.conv2d.geometry import TransposedGeometry
from kernels.conv_transpose2d import reference
from kernels.cpu.threads import empty, ready
from kernels.device import Array


def forward(x: Array, w: Array, b: Array | None = None, *, geometry: TransposedGeometry) -> Array:
    if x.dtype != np.float32:
        return reference.forward(x, w, b, geometry=geometry)
    shape = len(x), *geometry.output_size(x.shape, w.shape), w.shape[3]
    x, w = ready(x), ready(w)
    if b is None and winograd.suits(w.shape, geometry.stride, *x.shape[:3]):
        return winograd.dgrad(x, shape, w, geometry.adjoint, turned=True)
    y = empty(*shape)
    direct.dgrad(x, w, None if b is None else ready(b), geometry.stride, geometry.padding, y)
    return y


def backward(
    dy: Array, x: Array, w: Array, *, geometry: TransposedGeometry, need: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    if x.dtype != np.float32:
        return reference.backward(dy, x, w, geometry=geometry, need=need)
    (R, S, C, K), stride, adjoint = w.shape, geometry.stride, geometry.adjoint
    dx = dw = db = None
    dy, x = ready(dy), ready(x)
    rows, cols = (direct.sources(n, geometry.padding, "zeros") for n in dy.shape[1:3])
    fast = winograd.suits(w.shape, stride, *x.shape[:3])
    if need[0] and fast:
        dx = winograd.fprop(dy, w, adjoint, turned=True)
    elif need[0]:
        dx = empty(*x.shape)
        direct.fprop(dy, across(w), None, rows, cols, stride, dx)
    if need[1]:
        dw = across(
            winograd.wgrad(x, dy, (R, S, K, C), adjoint) if fast else direct.wgrad(dy, x, (R, S), rows, cols, stride)
        )
    if need[2]:
        db = dy.reshape(-1, K).sum(axis=0)
    return dx, dw, db


def across(w: Array) -> Array:
    """[R,S,C,K] -> [R,S,K,C]: the same taps, seen from the other side."""
    return ready(w.transpose(0, 1, 3, 2))
