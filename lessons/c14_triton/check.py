"""Grades chapter 14."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lessons.grading import compare, demand


def run(exercise: ModuleType, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x - y, then what the kernel left in dx, in its guard and in partials."""
    from kernels.gpu.launch import launch

    x, y = np.random.default_rng(n).standard_normal((2, n)).astype(np.float32)
    y[::5] = x[::5]
    room = np.full(n + 64, np.nan, np.float32)  # dx, and 64 numbers that are not its own
    partials = np.full(-(-n // 64), np.nan, np.float32)
    launch(exercise.l1, (len(partials),), x, y, room, partials, n, BLOCK=64)
    return x - y, room[:n], room[n:], partials


def check_dx(exercise: ModuleType) -> None:
    """l1: dx"""
    error, dx, guard, _ = run(exercise, 200)
    if np.isnan(dx).all():
        raise NotImplementedError("the kernel writes nothing yet")
    compare(
        "dx",
        dx,
        np.sign(error),
        "where x equals y the sign is 0; `error > 0` alone makes it -1 there"
        if (dx[error == 0] != 0).any()
        else "one sign for each element",
    )
    demand(
        np.isnan(guard).all(),
        f"the kernel wrote {int((~np.isnan(guard)).sum())} numbers past the end of dx: the store lacks mask=at < n.\nOn a GPU that is somebody else's memory",
    )


def check_partials(exercise: ModuleType) -> None:
    """l1: partial sums, with a ragged end"""
    for n in (64, 200, 1):
        error, _, _, partials = run(exercise, n)
        wanted = [abs(error[i : i + 64]).sum() for i in range(0, n, 64)]
        compare(
            f"partials of {n} elements",
            partials,
            wanted,
            "each program adds up its own elements; masked lanes must add 0, so both loads need other=0.0",
            1e-5,
        )
