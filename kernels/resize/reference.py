"""Resizing as two small matrix products."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from kernels.device import Array, xp_of


def forward(x: Array, *, size: tuple[int, int], mode: str) -> Array:
    rows, cols = _matrices(x, x.shape[1:3], size, mode)
    return _apply(x, rows, cols)  # [N,P,Q,C]


def backward(dy: Array, *, input_size: tuple[int, int], mode: str) -> Array:
    rows, cols = _matrices(dy, input_size, dy.shape[1:3], mode)
    return _apply(dy, rows.T, cols.T)  # [N,H,W,C]


def _apply(x: Array, rows: Array, cols: Array) -> Array:
    """rows [P,H] and cols [Q,W] applied to x [N,H,W,C]."""
    N, H, W, C = x.shape
    x = rows @ x.reshape(N, H, W * C)  # [N,P,W*C]
    return cols @ x.reshape(N, -1, W, C)  # [N,P,Q,C]


def _matrices(x: Array, source: tuple[int, int], target: tuple[int, int], mode: str) -> tuple[Array, Array]:
    rows, cols = (interpolation(n, m, mode, x.dtype) for n, m in zip(source, target, strict=True))
    return xp_of(x).asarray(rows), xp_of(x).asarray(cols)


@functools.lru_cache(100)
def interpolation(n: int, m: int, mode: str, dtype: Any = np.float64) -> np.ndarray:
    """The matrix [m,n] that resizes a line of n samples to m."""
    if mode == "nearest":
        return np.eye(n, dtype=dtype)[np.arange(m) * n // m]
    if mode != "bilinear":
        raise ValueError(f"resize: unknown mode {mode!r}; wanted nearest or bilinear")
    centre = np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)
    return np.maximum(0, 1 - np.abs(centre[:, None] - np.arange(n))).astype(dtype)  # a tent around each centre
