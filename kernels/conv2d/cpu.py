"""Convolution for the CPU: Winograd's way where it applies, else row by row as matrix products.

3x3 and 4x4 kernels at stride 1 and 2 with enough channels take a fraction of the multiplications in winograd.py; everything
else is in direct.py. Other precisions than float32 are served by the reference.
"""

from __future__ import annotations

import numpy as np

from kernels.conv2d import direct, reference, winograd
from kernels.conv2d.geometry import Geometry
from kernels.cpu.threads import empty, ready
from kernels.device import Array
from kernels.reflection_pad import cpu as reflection_pad


def forward(x: Array, w: Array, b: Array | None = None, *, geometry: Geometry) -> Array:
    geometry.check(x.shape, w.shape)
    if x.dtype != np.float32:
        return reference.forward(x, w, b, geometry=geometry)
    x, w = ready(x), ready(w)
    (N, H, W, _), (P, Q) = x.shape, geometry.output_size(x.shape, w.shape)
    if b is None and winograd.suits(w.shape, geometry.stride, N, P, Q):
        return winograd.fprop(x, w, geometry)
    y = empty(N, P, Q, w.shape[3])
    rows, cols = (direct.sources(n, geometry.padding, geometry.padding_mode) for n in (H, W))
    direct.fprop(x, w, None if b is None else ready(b), rows, cols, geometry.stride, y)
    return y


def backward(
    dy: Array, x: Array, w: Array, *, geometry: Geometry, need: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    if x.dtype != np.float32:
        return reference.backward(dy, x, w, geometry=geometry, need=need)
    dy, x, w = ready(dy), ready(x), ready(w)
    fast = winograd.suits(w.shape, geometry.stride, *dy.shape[:3])
    dx = (winograd.dgrad if fast else dgrad)(dy, x.shape, w, geometry) if need[0] else None
    dw = (winograd.wgrad if fast else wgrad)(dy, x, w.shape, geometry) if need[1] else None
    db = dy.reshape(-1, w.shape[3]).sum(axis=0) if need[2] else None
    return dx, dw, db


def dgrad(dy: Array, shape: tuple[int, ...], w: Array, geometry: Geometry) -> Array:
    """dx of `shape` [N,H,W,C]."""
    (N, H, W, C), padding = shape, geometry.padding
    across = ready(w.transpose(0, 1, 3, 2))  # [R,S,K,C]
    if not geometry.reflect:
        dx = empty(*shape)
        direct.dgrad(dy, across, None, geometry.stride, padding, dx)
        return dx
    around = empty(N, H + 2 * padding, W + 2 * padding, C)
    direct.dgrad(dy, across, None, geometry.stride, 0, around)
    return reflection_pad.backward(around, pad=padding)


def wgrad(dy: Array, x: Array, shape: tuple[int, ...], geometry: Geometry) -> Array:
    """dw of `shape` [R,S,C,K]."""
    (R, S, C, K), padding = shape, geometry.padding
    if geometry.stride > 1 or C <= K:
        rows, cols = (direct.sources(n, padding, geometry.padding_mode) for n in x.shape[1:3])
        return direct.wgrad(x, dy, (R, S), rows, cols, geometry.stride)
    # Unfold the side with fewer channels: pixel i of x meets rows i-R+1 .. i of dy, that is w's last row first.
    if geometry.reflect:
        x, padding = reflection_pad.forward(x, pad=padding), 0
    (_, rows), (_, cols) = (
        direct._parity(0, padding, 1, taps, n, m)
        for taps, n, m in zip((R, S), dy.shape[1:3], x.shape[1:3], strict=True)
    )
    dw = direct.wgrad(dy, x, (R, S), rows, cols, 1)  # [R,S,K,C], flipped
    return ready(dw[::-1, ::-1].transpose(0, 1, 3, 2))
