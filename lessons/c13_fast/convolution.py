"""One 3×3 convolution, 64×64 pixels, 32 -> 32 channels, in seven ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lessons.c13_fast.ladder import Ladder

H = W = 64
C = K = 32
FLOPS = 2 * (H - 2) * (W - 2) * 9 * C * K  # a multiplication and an addition each


def python_loops(x: np.ndarray, w: np.ndarray, y: np.ndarray, rows: int) -> None:
    """The definition, loop by loop; numba compiles the same function for the second rung."""
    for p in range(rows):
        for q in range(x.shape[1] - 2):
            for k in range(w.shape[3]):
                total = np.float32(0.0)
                for r in range(3):
                    for s in range(3):
                        for c in range(x.shape[2]):
                            total += x[p + r, q + s, c] * w[r, s, c, k]
                y[p, q, k] = total


def channels_inside(x: np.ndarray, w: np.ndarray, y: np.ndarray, rows: int) -> None:
    """The same sums with the output channels innermost: neighbours in memory, so eight of them go at once."""
    for p in range(rows):
        for q in range(x.shape[1] - 2):
            for k in range(w.shape[3]):
                y[p, q, k] = np.float32(0.0)
            for r in range(3):
                for s in range(3):
                    for c in range(x.shape[2]):
                        value = x[p + r, q + s, c]
                        for k in range(w.shape[3]):
                            y[p, q, k] += value * w[r, s, c, k]


def nine_products(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """For each of the nine places of the kernel one matrix product over all pixels."""
    y = np.zeros((x.shape[0] - 2, x.shape[1] - 2, w.shape[3]), np.float32)
    for r in range(3):
        for s in range(3):
            y += x[r : r + y.shape[0], s : s + y.shape[1]] @ w[r, s]
    return y


def ladder() -> Ladder:
    from numba import njit

    from kernels.conv2d import cpu, reference
    from kernels.conv2d.geometry import Geometry

    geometry, rng = Geometry(), np.random.default_rng(0)
    x = rng.standard_normal((H, W, C)).astype(np.float32)
    w = (rng.standard_normal((3, 3, C, K)) / 17).astype(np.float32)
    true = reference.forward(x[None].astype(np.float64), w.astype(np.float64), geometry=geometry)[0]
    found = Ladder(
        "3×3 convolution, 64×64, 32 → 32 channels", "compute", FLOPS, 4 * (x.size + w.size + true.size), true
    )
    y = np.empty((H - 2, W - 2, K), np.float32)

    def filled(loop: Callable, rows: int = H - 2) -> Callable[[], np.ndarray]:
        return lambda: (loop(x, w, y, rows), y)[1]

    found.rung("Python loops (one row, times 62)", filled(python_loops, 1), 1 / (H - 2))
    found.rung("the same loops, compiled by numba", filled(njit(python_loops)))
    found.rung("channels innermost", filled(njit(fastmath=True)(channels_inside)))
    found.rung("nine matrix products", lambda: nine_products(x, w))
    found.rung("unfold, then one product", lambda: reference.forward(x[None], w, geometry=geometry)[0])
    found.rung("the kernel that trains (Winograd)", lambda: cpu.forward(x[None], w, geometry=geometry)[0])
    return found
