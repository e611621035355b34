"""A reduction: the L1 loss of two pictures of 256×256, its value and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lessons.c13_fast.ladder import Ladder

N = 256 * 256 * 3


def python_loops(x: np.ndarray, y: np.ndarray, dx: np.ndarray, n: int) -> np.floating:
    """The definition: one sum, one gradient for each number."""
    total = np.float32(0)
    share = np.float32(1 / x.size)
    for i in range(n):
        error = x[i] - y[i]
        total += abs(error)
        dx[i] = share if error > 0 else -share if error < 0 else np.float32(0)
    return total * share


def value_and_dx(loss: Any, dx: np.ndarray) -> np.ndarray:
    """Both in one vector. The value weighs as much as the whole gradient, so it is compared with the same care."""
    return np.concatenate([[loss], np.ravel(dx) * dx.size])


def ladder() -> Ladder:
    from numba import njit

    from kernels.l1_loss import reference

    x, y = np.random.default_rng(0).standard_normal((2, N)).astype(np.float32)
    dx = np.zeros_like(x)
    error = x.astype(np.float64) - y
    true = value_and_dx(abs(error).mean(), np.sign(error) / N)
    found = Ladder("L1 loss and its gradient, 196,608 numbers", "memory", 4 * N, 3 * x.nbytes, true)

    def filled(loop: Callable) -> Callable[[], Looked]:
        return lambda: Looked(loop(x, y, dx, N), dx)

    found.rung("Python loops", filled(python_loops))
    found.rung("the same loop, compiled: one sum, in order", filled(njit(python_loops)))
    found.rung("compiled, the order of the sum left open", filled(njit(fastmath={"reassoc", "nsz"})(python_loops)))
    found.rung("NumPy, five passes: the code that trains", lambda: Looked(*reference.forward(x, y)))
    return found


class Looked:
    """A value and a gradient that are only put together when somebody looks, not while the clock runs."""

    def __init__(self, loss: Any, dx: np.ndarray) -> None:
        self.both = loss, dx

    def ravel(self) -> np.ndarray:
        return value_and_dx(*self.both)
