"""Transposed convolution for the CPU: the same three functions as conv2d, in exchanged roles; see conv2d/direct.py."""

from __future__ import annotations

import numpy as np

from kernels.conv2d import direct
from kernels.conv_transpose2d import reference
from kernels.conv_transpose2d.reference import check, output_shape
from kernels.device import Array
from kernels.threads import ready


def forward(
    x: Array, w: Array, b: Array | None = None, *, stride: int = 2, padding: int = 1, output_padding: int = 1
) -> Array:
    check(x, w, stride, output_padding)
    if x.dtype != np.float32:
        return reference.forward(x, w, b, stride=stride, padding=padding, output_padding=output_padding)
    y = np.empty(output_shape(x.shape, w.shape, stride, padding, output_padding), np.float32)
    direct.transposed(ready(x), ready(w), None if b is None else ready(b), stride, padding, y)
    return y


def backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: int = 2,
    padding: int = 1,
    output_padding: int = 1,
    need: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    if x.dtype != np.float32:
        settings = dict(stride=stride, padding=padding, output_padding=output_padding)
        return reference.backward(dy, x, w, **settings, need=need)
    R, S, _, K = w.shape
    dx = dw = db = None
    dy, x = ready(dy), ready(x)
    rows, cols = (direct.sources(n, padding, "zeros") for n in dy.shape[1:3])
    if need[0]:
        dx = np.empty(x.shape, np.float32)
        direct.correlate(dy, np.ascontiguousarray(w.transpose(0, 1, 3, 2)), None, rows, cols, stride, dx)
    if need[1]:
        dw = direct.weight_gradient(dy, x, (R, S), rows, cols, stride)  # [R,S,K,C]
        dw = np.ascontiguousarray(dw.transpose(0, 1, 3, 2))
    if need[2]:
        db = dy.reshape(-1, K).sum(axis=0)
    return dx, dw, db
