"""Transposed convolution, written as what it is: conv2d's input gradient, with the two channel sides swapped."""

from __future__ import annotations

from kernels.conv2d.reference import fold, pad, unfold
from kernels.device import Array


def forward(
    x: Array, w: Array, b: Array | None = None, *, stride: int = 2, padding: int = 1, output_padding: int = 1
) -> Array:
    check(x, w, stride, output_padding)
    N, P, Q, K = output_shape(x.shape, w.shape, stride, padding, output_padding)
    stamps = x @ across(w)  # [N,H,W,R*S*K]
    # The canvas also holds the pixels that `padding` cuts off again.
    y = fold(stamps, (N, P + 2 * padding, Q + 2 * padding, K), w.shape[:2], stride)
    y = y[:, padding : padding + P, padding : padding + Q]  # [N,P,Q,K]
    return y + b if b is not None else y


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
    R, S, C, K = w.shape
    dx = dw = db = None
    if need[0] or need[1]:
        dstamps = unfold(pad(dy, padding, "zeros"), (R, S), stride)[:, : x.shape[1], : x.shape[2]]  # [N,H,W,R*S*K]
        if need[0]:
            dx = dstamps @ across(w).T  # [N,H,W,C]
        if need[1]:
            dw = x.reshape(-1, C).T @ dstamps.reshape(-1, R * S * K)  # [C,R*S*K]
            dw = dw.reshape(C, R, S, K).transpose(1, 2, 0, 3)  # [R,S,C,K]
    if need[2]:
        db = dy.reshape(-1, K).sum(axis=0)
    return dx, dw, db


def check(x: Array, w: Array, stride: int, output_padding: int) -> None:
    """ValueError unless x [N,H,W,C] and w [R,S,C,K] fit."""
    if x.ndim != 4 or x.shape[3] != w.shape[2]:
        raise ValueError(
            f"conv_transpose2d: input {x.shape} does not fit weight {w.shape}; wanted [N,H,W,{w.shape[2]}]"
        )
    if x.dtype != w.dtype:
        raise TypeError(f"conv_transpose2d: input is {x.dtype} but weight is {w.dtype}; convert one of them")
    if output_padding >= stride:
        raise ValueError(f"conv_transpose2d: output_padding {output_padding} must be smaller than stride {stride}")


def output_shape(
    x: tuple[int, ...], w: tuple[int, ...], stride: int, padding: int, output_padding: int
) -> tuple[int, int, int, int]:
    """[N,P,Q,K] of the result."""
    return (
        x[0],
        (x[1] - 1) * stride - 2 * padding + w[0] + output_padding,
        (x[2] - 1) * stride - 2 * padding + w[1] + output_padding,
        w[3],
    )


def across(w: Array) -> Array:
    """w [R,S,C,K] as the matrix [C,R*S*K] that maps a pixel to its stamp."""
    return w.transpose(2, 0, 1, 3).reshape(w.shape[2], -1)
