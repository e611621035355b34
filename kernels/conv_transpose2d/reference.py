"""Transposed convolution, written as what it is: conv2d's input gradient, with the two channel sides swapped."""

from __future__ import annotations

from kernels.conv2d.geometry import TransposedGeometry
from kernels.conv2d.reference import fold, pad, unfold
from kernels.device import Array


def forward(x: Array, w: Array, b: Array | None = None, *, geometry: TransposedGeometry) -> Array:
    (P, Q), padding = geometry.output_size(x.shape, w.shape), geometry.padding
    stamps = x @ across(w)  # [N,H,W,R*S*K]
    # The canvas also holds the pixels that `padding` cuts off again.
    y = fold(stamps, (len(x), P + 2 * padding, Q + 2 * padding, w.shape[3]), w.shape[:2], geometry.stride)
    y = y[:, padding : padding + P, padding : padding + Q]  # [N,P,Q,K]
    return y + b if b is not None else y


def backward(
    dy: Array, x: Array, w: Array, *, geometry: TransposedGeometry, need: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    R, S, C, K = w.shape
    dx = dw = db = None
    if need[0] or need[1]:
        dstamps = unfold(pad(dy, geometry.adjoint), (R, S), geometry.stride)[
            :, : x.shape[1], : x.shape[2]
        ]  # [N,H,W,R*S*K]
        if need[0]:
            dx = dstamps @ across(w).T  # [N,H,W,C]
        if need[1]:
            dw = x.reshape(-1, C).T @ dstamps.reshape(-1, R * S * K)  # [C,R*S*K]
            dw = dw.reshape(C, R, S, K).transpose(1, 2, 0, 3)  # [R,S,C,K]
    if need[2]:
        db = dy.reshape(-1, K).sum(axis=0)
    return dx, dw, db


def across(w: Array) -> Array:
    """w [R,S,C,K] as the matrix [C,R*S*K] that maps a pixel to its stamp."""
    return w.transpose(2, 0, 1, 3).reshape(w.shape[2], -1)
