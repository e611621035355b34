"""Convolution for the CPU: unfold along the width only, then one BLAS product per kernel row.

    u[n,h,q] = the S pixels x[n,h,q..q+S) side by side                   [N,H,Q,S*C]
    y[n,p]   = sum over r of  u[n,p+r] @ w[r]                            R products [P*Q, S*C] x [S*C, K]

That copies each pixel S times instead of the R*S times of full unfolding, and the rows u[n, r : r+P] are one block of
memory that BLAS takes as it is. The input gradient of a stride-1 convolution is again one: dy, padded with R-1 zeros,
against w flipped in both directions. Strided convolutions keep the reference, which unfolds less there anyway.
"""

from __future__ import annotations

import numpy as np

from kernels.conv2d import reference
from kernels.conv2d.reference import check, pad, unfold, unpad
from kernels.device import Array


def forward(
    x: Array, w: Array, b: Array | None = None, *, stride: int = 1, padding: int = 0, padding_mode: str = "zeros"
) -> Array:
    if stride != 1:
        return reference.forward(x, w, b, stride=stride, padding=padding, padding_mode=padding_mode)
    check(x, w, padding)
    y = correlate(pad(x, padding, padding_mode), w)  # [N,P,Q,K]
    if b is not None:
        y += b
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
    settings = {"padding": padding, "padding_mode": padding_mode}
    if stride != 1:
        return reference.backward(dy, x, w, stride=stride, **settings, need=need)
    R, S, _, K = w.shape
    dx = dw = db = None
    if need[0]:
        around = np.pad(dy, ((0, 0), (R - 1, R - 1), (S - 1, S - 1), (0, 0)))
        flipped = np.ascontiguousarray(w[::-1, ::-1].transpose(0, 1, 3, 2))  # [R,S,K,C]
        dx = unpad(correlate(around, flipped), padding, padding_mode)  # [N,H,W,C]
    if need[1]:
        u = rows(pad(x, padding, padding_mode), S)
        dw = np.empty(w.shape, w.dtype)
        for r in range(R):
            block = u[:, r : r + dy.shape[1]].reshape(-1, u.shape[3])  # [N*P*Q,S*C]
            np.matmul(block.T, dy.reshape(-1, K), out=dw[r].reshape(-1, K))
    if need[2]:
        db = dy.reshape(-1, K).sum(axis=0)
    return dx, dw, db


def correlate(x: Array, w: Array) -> Array:
    """x [N,H,W,C], padded already, with w [R,S,C,K] at stride 1 -> [N,P,Q,K]."""
    R, S, _, K = w.shape
    u = rows(x, S)
    N, P, Q = x.shape[0], x.shape[1] - R + 1, u.shape[2]
    y = np.empty((N, P * Q, K), x.dtype)
    for n in range(N):
        for r in range(R):
            block = u[n, r : r + P].reshape(P * Q, -1)
            if r == 0:
                np.matmul(block, w[r].reshape(-1, K), out=y[n])
            else:
                y[n] += block @ w[r].reshape(-1, K)
    return y.reshape(N, P, Q, K)


def rows(x: Array, S: int) -> Array:
    """Every S neighbouring pixels of a row side by side: [N,H,W,C] -> [N,H,W-S+1,S*C]."""
    return np.ascontiguousarray(unfold(x, (1, S), 1))
