"""Instance norm of 128×128 pixels, 64 channels, whose mean is 100 times their deviation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lessons.c13_fast.ladder import Ladder

PIXELS, C = 128 * 128, 64
EPS = 1e-5


def python_loops(x: np.ndarray, y: np.ndarray, channels: int) -> None:
    """Channel by channel: the mean, the variance around it, then every pixel."""
    for c in range(channels):
        mean = 0.0
        for p in range(x.shape[0]):
            mean += x[p, c]
        mean /= x.shape[0]
        variance = 0.0
        for p in range(x.shape[0]):
            variance += (x[p, c] - mean) ** 2
        rstd = 1 / math.sqrt(variance / x.shape[0] + EPS)
        for p in range(x.shape[0]):
            y[p, c] = (x[p, c] - mean) * rstd


def pixel_by_pixel(x: np.ndarray, y: np.ndarray, channels: int) -> None:
    """The same three passes in the order of memory: all channels of a pixel, then the next pixel."""
    mean, square = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    for p in range(x.shape[0]):
        for c in range(channels):
            mean[c] += x[p, c]
    for c in range(channels):
        mean[c] /= np.float32(x.shape[0])
    for p in range(x.shape[0]):
        for c in range(channels):
            d = x[p, c] - mean[c]
            square[c] += d * d
    for c in range(channels):
        square[c] = np.float32(1) / np.sqrt(square[c] / np.float32(x.shape[0]) + np.float32(EPS))
    for p in range(x.shape[0]):
        for c in range(channels):
            y[p, c] = (x[p, c] - mean[c]) * square[c]


def one_pass(x: np.ndarray, y: np.ndarray, channels: int) -> None:
    """E[x²] − E[x]²: both sums in one pass, so x is read twice and not three times. And see the error."""
    mean, square = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    for p in range(x.shape[0]):
        for c in range(channels):
            mean[c] += x[p, c]
            square[c] += x[p, c] * x[p, c]
    for c in range(channels):
        mean[c] /= np.float32(x.shape[0])
        variance = square[c] / np.float32(x.shape[0]) - mean[c] * mean[c]
        square[c] = np.float32(1) / np.sqrt(max(variance, np.float32(0)) + np.float32(EPS))
    for p in range(x.shape[0]):
        for c in range(channels):
            y[p, c] = (x[p, c] - mean[c]) * square[c]


def ladder() -> Ladder:
    from numba import njit

    from kernels.instance_norm import cpu, reference
    from kernels.instance_norm.settings import NormSettings

    x = (np.random.default_rng(0).standard_normal((PIXELS, C)) + 100).astype(np.float32)
    picture, norm, y = x.reshape(1, 128, 128, C), NormSettings(), np.empty_like(x)
    wide = x.astype(np.float64)
    true = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + EPS)
    found = Ladder("Instance norm, 128×128, 64 channels", "memory", 7 * x.size, 2 * x.nbytes, true)

    def filled(loop: Callable) -> Callable[[], np.ndarray]:
        return lambda: (loop(x, y, C), y)[1]

    def one_channel() -> np.ndarray:
        python_loops(x, y, 1)
        y[:, 1:] = true[:, 1:]
        return y

    found.rung("Python loops (one channel, times 64)", one_channel)
    found.rungs[-1]["ms"] *= C
    found.rung("the same loops, compiled by numba", filled(njit(python_loops)))
    found.rung("pixel by pixel, as memory lies", filled(njit(fastmath=True)(pixel_by_pixel)))
    found.rung("one pass for both sums (wrong!)", filled(njit(fastmath=True)(one_pass)), allowed=1.0)
    found.rung("NumPy, the formula", lambda: reference.forward(picture, norm=norm)[0])
    found.rung("the kernel that trains (slabs)", lambda: cpu.forward(picture, norm=norm)[0])
    return found
