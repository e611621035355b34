"""Chapter 2. Fill in the hole, mend three backwards, then: python -m lessons check 2"""

from collections.abc import Callable

import numpy as np


def slope(f: Callable[[float], float], x: float, h: float) -> float:
    """The slope of f at x by a difference to both sides."""
    raise NotImplementedError("(f(x + h) - f(x - h)) / 2h")


# Each of these is wrong in one place. forward is right.


def tanh_forward(x: np.ndarray) -> np.ndarray:
    return np.tanh(x)


def tanh_backward(dy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y is the output, tanh(x)."""
    return dy * (1 - y)


def leaky_forward(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def leaky_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.where(dy > 0, dy, 0.2 * dy)


def mean_forward(x: np.ndarray) -> np.ndarray:
    """[N,C] -> [C]: the mean over the rows."""
    return x.mean(axis=0)


def mean_backward(dy: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """dy [C] -> [N,C]"""
    return np.broadcast_to(dy, shape) / (shape[0] * shape[1])
