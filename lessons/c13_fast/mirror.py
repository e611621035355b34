"""Reflection padding of a picture of 256×256, three pixels on each side: nothing is computed, all is moving numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lessons.c13_fast.ladder import Ladder

H = W = 256
C, PAD = 3, 3
ROWS = 8
"""Of the result, for Python's loops."""


def python_loops(x: np.ndarray, y: np.ndarray, rows: int) -> None:
    """The definition: where does each number of the result come from?"""
    for p in range(rows):
        i = abs(p - PAD)
        i = i if i < H else 2 * H - 2 - i
        for q in range(W + 2 * PAD):
            j = abs(q - PAD)
            j = j if j < W else 2 * W - 2 - j
            for c in range(C):
                y[p, q, c] = x[i, j, c]


def index_lists(x: np.ndarray) -> np.ndarray:
    """Two lists of indices, made by mirroring the numbers 0 … 255; the picture is copied twice."""
    mirrored = np.pad(np.arange(H), PAD, mode="reflect")
    return x[mirrored][:, mirrored]


def ladder() -> Ladder:
    from numba import njit

    from kernels.reflection_pad import cpu, reference

    x = np.random.default_rng(0).standard_normal((H, W, C)).astype(np.float32)
    y = np.empty((H + 2 * PAD, W + 2 * PAD, C), np.float32)
    true = reference.forward(x[None], pad=PAD)[0]
    found = Ladder("Reflection padding, 256×256, 3 channels, 3 pixels", "memory", 0, x.nbytes + y.nbytes, true)

    def filled(loop: Callable, rows: int) -> Callable[[], np.ndarray]:
        return lambda: (loop(x, y, rows), y)[1]

    share = ROWS / len(y)
    found.rung(f"Python loops ({ROWS} rows, times {1 / share:.0f})", filled(python_loops, ROWS), share)
    found.rung("the same loops, compiled by numba", filled(njit(python_loops), len(y)))
    found.rung("two lists of indices", lambda: index_lists(x))
    found.rung("NumPy's own, np.pad", lambda: reference.forward(x[None], pad=PAD)[0])
    found.rung("six slices: the kernel that trains", lambda: cpu.forward(x[None], pad=PAD)[0])
    return found
