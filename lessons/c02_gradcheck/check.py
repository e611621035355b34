"""Grades chapter 2."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np

from lessons.grading import compare, demand


def numeric(forward: Callable[[np.ndarray], np.ndarray], x: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """dx by differences."""
    dx = np.empty_like(x)
    for i in np.ndindex(x.shape):
        bump = np.zeros_like(x)
        bump[i] = 1e-6
        dx[i] = ((forward(x + bump) - forward(x - bump)) * dy).sum() / 2e-6
    return dx


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 3)), rng.standard_normal((4, 3))


def check_slope(exercise: ModuleType) -> None:
    """slope: a difference to both sides"""
    compare(
        "slope of x² at 3",
        exercise.slope(lambda x: x * x, 3.0, 1e-5),
        6.0,
        "divide by 2h: from x - h to x + h it is two steps",
        1e-5,
    )
    errors = [abs(exercise.slope(np.exp, 1.0, h) - np.e) for h in (1e-2, 1e-3)]
    demand(
        errors[1] < errors[0] / 50,
        f"h ten times smaller made the error of exp at 1 only {errors[0] / errors[1]:.0f} times smaller; a difference to both sides gains a hundred",
    )


def check_tanh(exercise: ModuleType) -> None:
    """tanh_backward"""
    x, dy = data()
    compare(
        "dx",
        exercise.tanh_backward(dy, np.tanh(x)),
        numeric(np.tanh, x, dy),
        "the slope of tanh is 1 at x = 0 and falls to 0 on *both* sides; yours does not on one",
        1e-5,
    )


def check_leaky(exercise: ModuleType) -> None:
    """leaky_backward"""
    x, dy = data()
    compare(
        "dx",
        exercise.leaky_backward(dy, x),
        numeric(exercise.leaky_forward, x, dy),
        "the slope depends on where the *input* is; the sign of the gradient that comes in says nothing about it",
        1e-5,
    )


def check_mean(exercise: ModuleType) -> None:
    """mean_backward"""
    x, dy = data()
    wanted = numeric(exercise.mean_forward, x, dy[0])
    yours = np.asarray(exercise.mean_backward(dy[0], x.shape))
    ratio = f"; yours / wanted is {np.median(yours / wanted):.3g} everywhere" if yours.shape == wanted.shape else ""
    compare(
        "dx", yours, wanted, f"how many numbers does each mean go over? Only the rows of its own column{ratio}", 1e-5
    )
