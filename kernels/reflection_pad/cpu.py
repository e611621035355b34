"""Reflection padding for the CPU. Forward: six slices, each a copy that NumPy makes at memory's speed. Backward: each row of dx
is one thread's, and its middle is added as one run of numbers.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu.compiler import kernel
from kernels.cpu.threads import empty, ready, share
from kernels.device import Array
from kernels.reflection_pad import reference
from kernels.reflection_pad.reference import check


def forward(x: Array, *, pad: int) -> Array:
    check(x.shape, pad)
    N, H, W, C = x.shape
    y = np.empty_like(x, shape=(N, H + 2 * pad, W + 2 * pad, C))
    inside = y[:, pad : pad + H]
    inside[:, :, pad : pad + W] = x
    inside[:, :, :pad] = x[:, :, pad:0:-1]
    inside[:, :, pad + W :] = x[:, :, W - 1 - pad : W - 1][:, :, ::-1]
    y[:, :pad] = inside[:, pad:0:-1]
    y[:, pad + H :] = inside[:, H - 1 - pad : H - 1][:, ::-1]
    return y


def backward(dy: Array, *, pad: int) -> Array:
    if dy.dtype != np.float32:
        return reference.backward(dy, pad=pad)
    N, P, Q, C = dy.shape
    dx = empty(N, P - 2 * pad, Q - 2 * pad, C)
    share(_fold, N * dx.shape[1], 2 * dy.size, ready(dy).reshape(N, P, Q * C), pad, dx.reshape(*dx.shape[:2], -1), C)
    return dx


@kernel
def _fold(first, last, dy, pad, dx, C):
    (_, H, WC), edge = dx.shape, pad * C
    for line in range(first, last):
        n, i = line // H, line % H
        target = dx[n, i]
        for k in range(WC):
            target[k] = np.float32(0)
        # Row i was copied to row i + pad and, if it is near an edge, mirrored at one or both.
        copies = ((pad - i, 1 <= i <= pad), (i + pad, True), (2 * (H - 1) + pad - i, H - 1 - pad <= i < H - 1))
        for p, there in copies:
            if not there:
                continue
            middle = dy[n, p, edge : edge + WC]
            for k in range(WC):
                target[k] += middle[k]
            left, right = dy[n, p, :edge], dy[n, p, edge + WC :]
            for q in range(pad):
                for c in range(C):
                    target[(pad - q) * C + c] += left[q * C + c]
            for q in range(pad - 1, -1, -1):
                for c in range(C):
                    target[WC - (q + 2) * C + c] += right[q * C + c]
