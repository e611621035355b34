"""Reflection padding for the CPU: each row of the result is one thread's, and is written once."""

from __future__ import annotations

import numpy as np

from kernels.cpu.compiler import kernel
from kernels.cpu.threads import ready, share
from kernels.device import Array
from kernels.reflection_pad import reference
from kernels.reflection_pad.reference import check


def forward(x: Array, *, pad: int) -> Array:
    if x.dtype != np.float32:
        return reference.forward(x, pad=pad)
    check(x.shape, pad)
    N, H, W, C = x.shape
    y = np.empty((N, H + 2 * pad, W + 2 * pad, C), np.float32)
    share(_mirror, N * y.shape[1], 2 * y.size, ready(x), pad, y)
    return y


def backward(dy: Array, *, pad: int) -> Array:
    if dy.dtype != np.float32:
        return reference.backward(dy, pad=pad)
    N, H, W, C = dy.shape
    dx = np.empty((N, H - 2 * pad, W - 2 * pad, C), np.float32)
    share(_fold, N * dx.shape[1], 2 * dy.size, ready(dy), pad, dx)
    return dx


@kernel
def _mirror(first, last, x, pad, y):
    (_, H, W, C), lines = x.shape, y.shape[1]
    for line in range(first, last):
        n, i = line // lines, abs(line % lines - pad)
        i = i if i < H else 2 * H - 2 - i
        for q in range(y.shape[2]):
            j = abs(q - pad)
            j = j if j < W else 2 * W - 2 - j
            for c in range(C):
                y[n, line % lines, q, c] = x[n, i, j, c]


@kernel
def _fold(first, last, dy, pad, dx):
    _, H, W, C = dx.shape
    for line in range(first, last):
        n, i = line // H, line % H
        for j in range(W):
            for c in range(C):
                dx[n, i, j, c] = np.float32(0)
        # Row i was copied to row i + pad and, if it is near an edge, mirrored at one or both.
        for p in range(H + 2 * pad):
            if p != i + pad and p != pad - i and p != 2 * (H - 1) + pad - i:
                continue
            for j in range(W):
                for c in range(C):
                    dx[n, i, j, c] += dy[n, p, j + pad, c]
            for j in range(1, pad + 1):
                for c in range(C):
                    dx[n, i, j, c] += dy[n, p, pad - j, c]
            for j in range(W - 1 - pad, W - 1):
                for c in range(C):
                    dx[n, i, j, c] += dy[n, p, 2 * (W - 1) + pad - j, c]
