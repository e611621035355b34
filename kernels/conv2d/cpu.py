"""Convolution for the CPU: Winograd's way where it applies, else row by row as matrix products.

3x3 and 4x4 kernels at stride 1 and 2 with enough channels take a fraction of the multiplications in winograd.py; everything
else is in direct.py. Other precisions than float32 are served by the reference.
"""

from __future__ import annotations

import numpy as np

from kernels.conv2d import direct, reference, winograd
from kernels.conv2d.reference import check
from kernels.cpu.threads import ready
from kernels.device import Array
from kernels.reflection_pad import cpu as reflection_pad
from kernels.reflection_pad.reference import check as check_pad


def forward(
    x: Array, w: Array, b: Array | None = None, *, stride: int = 1, padding: int = 0, padding_mode: str = "zeros"
) -> Array:
    check(x, w, padding)
    if x.dtype != np.float32:
        return reference.forward(x, w, b, stride=stride, padding=padding, padding_mode=padding_mode)
    if padding_mode == "reflect":
        check_pad(x.shape, padding)
    x, w = ready(x), ready(w)
    (N, H, W, _), (R, S, _, K) = x.shape, w.shape
    P, Q = (H + 2 * padding - R) // stride + 1, (W + 2 * padding - S) // stride + 1
    if b is None and winograd.suits(w.shape, stride, N, P, Q):
        return winograd.fprop(x, w, stride, padding, padding_mode)
    y = np.empty((N, P, Q, K), np.float32)
    rows, cols = (direct.sources(n, padding, padding_mode) for n in (H, W))
    direct.fprop(x, w, None if b is None else ready(b), rows, cols, stride, y)
    return y


def backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    padding_mode: str = "zeros",
    need: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    settings = stride, padding, padding_mode
    if x.dtype != np.float32:
        return reference.backward(dy, x, w, stride=stride, padding=padding, padding_mode=padding_mode, need=need)
    dy, x, w = ready(dy), ready(x), ready(w)
    fast = winograd.suits(w.shape, stride, *dy.shape[:3])
    dx = (winograd.dgrad if fast else dgrad)(dy, x.shape, w, *settings) if need[0] else None
    dw = (winograd.wgrad if fast else wgrad)(dy, x, w.shape, *settings) if need[1] else None
    db = dy.reshape(-1, w.shape[3]).sum(axis=0) if need[2] else None
    return dx, dw, db


def dgrad(dy: Array, shape: tuple[int, ...], w: Array, stride: int, padding: int, padding_mode: str) -> Array:
    """dx of `shape` [N,H,W,C]."""
    N, H, W, C = shape
    across = np.ascontiguousarray(w.transpose(0, 1, 3, 2))  # [R,S,K,C]
    if padding_mode != "reflect" or not padding:
        dx = np.empty(shape, np.float32)
        direct.dgrad(dy, across, None, stride, padding, dx)
        return dx
    around = np.empty((N, H + 2 * padding, W + 2 * padding, C), np.float32)
    direct.dgrad(dy, across, None, stride, 0, around)
    return reflection_pad.backward(around, pad=padding)


def wgrad(dy: Array, x: Array, shape: tuple[int, ...], stride: int, padding: int, padding_mode: str) -> Array:
    """dw of `shape` [R,S,C,K]."""
    R, S, C, K = shape
    if stride > 1 or C <= K:
        rows, cols = (direct.sources(n, padding, padding_mode) for n in x.shape[1:3])
        return direct.wgrad(x, dy, (R, S), rows, cols, stride)
    # Unfold the side with fewer channels: pixel i of x meets rows i-R+1 .. i of dy, that is w's last row first.
    if padding and padding_mode == "reflect":
        x, padding = reflection_pad.forward(x, pad=padding), 0
    (_, rows), (_, cols) = (
        direct._parity(0, padding, 1, taps, n, m)
        for taps, n, m in zip((R, S), dy.shape[1:3], x.shape[1:3], strict=True)
    )
    dw = direct.wgrad(dy, x, (R, S), rows, cols, 1)  # [R,S,K,C], flipped
    return np.ascontiguousarray(dw[::-1, ::-1].transpose(0, 1, 3, 2))
