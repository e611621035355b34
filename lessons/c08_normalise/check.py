"""Grades chapter 8."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from kernels.instance_norm import reference as instance_norm
from kernels.instance_norm.settings import NormSettings
from lessons.grading import compare, demand


def true(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    as_picture = x.reshape(1, 1, -1, 1)
    _, mean, rstd = instance_norm.forward(as_picture, norm=NormSettings())
    return instance_norm.backward(dy.reshape(as_picture.shape), as_picture, mean, rstd, norm=NormSettings()).ravel()


def check_shape(exercise: ModuleType) -> None:
    """backward: one gradient per pixel"""
    dy, x = data()
    yours = exercise.backward(dy, x)
    demand(np.shape(yours) == x.shape, f"dx has shape {np.shape(yours)}, wanted {x.shape}")


def check_ones(exercise: ModuleType) -> None:
    """dx is orthogonal to 1: brightness has no effect, so no gradient"""
    dy, x = data()
    dx = exercise.backward(dy, x)
    demand(
        abs(dx.sum()) < 1e-9 * abs(dx).sum(),
        f"sum(dx) = {dx.sum():.3g}, wanted 0.\nMake every pixel brighter by the same amount: the output stays. So the slope along (1, 1, …, 1) is 0;\nyours is not. Take the mean of dy away",
    )


def check_x_hat(exercise: ModuleType) -> None:
    """dx is orthogonal to x_hat: contrast has no effect either"""
    dy, x = data()
    dx, x_hat = exercise.backward(dy, x), (x - x.mean()) / x.std()
    demand(
        abs((dx * x_hat).sum()) < 1e-3 * abs(dx * x_hat).sum(),
        f"sum(dx · x_hat) = {(dx * x_hat).sum():.3g}, wanted nearly 0.\nMore contrast moves x along x_hat, and the output stays (up to eps). dx must be orthogonal to x_hat; yours is not.\nTake away x_hat times the mean of dy · x_hat",
    )


def check_all(exercise: ModuleType) -> None:
    """backward: every value, for pictures of low and of high contrast"""
    for scale in (1.0, 0.01, 30.0):
        dy, x = data(scale)
        dx, wanted = exercise.backward(dy, x), true(dy, x)
        ratio = np.median(dx / wanted)
        why = (
            f"everywhere the same factor: yours / wanted = {ratio:.4g}; the standard deviation is {x.std():.3g}"
            if np.allclose(dx, ratio * wanted, rtol=1e-3)
            else "the terms are not all there"
        )
        compare(f"dx at contrast {scale:g}", dx, wanted, why)


def data(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.standard_normal(40) + 0.5, scale * (rng.standard_normal(40) + 3)
