"""Grades chapter 1."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from autograd import Tensor, gradcheck
from autograd.function import Function
from lessons.grading import Wrong, compare, demand


def check_mul(exercise: ModuleType) -> None:
    """mul_backward: the gradients of a product"""
    dz, x, y = np.random.default_rng(0).standard_normal((3, 2, 3))
    given = exercise.mul_backward(dz, x, y)
    demand(
        isinstance(given, tuple) and len(given) == 2, f"wanted two gradients, dx and dy; yours: {type(given).__name__}"
    )
    compare(
        "dx",
        given[0],
        dz * y,
        "raise x by a little: x·y rises by y times that. The slope along one input is the other input",
    )
    compare("dy", given[1], dz * x, "the slope along y is x")


def check_sum(exercise: ModuleType) -> None:
    """sum_backward: the gradient of a sum"""
    compare(
        "dx",
        exercise.sum_backward(np.array(0.7), (2, 3)),
        np.full((2, 3), 0.7),
        "each element counts once, so each has slope 1: dy, repeated",
    )


def check_unbroadcast(exercise: ModuleType) -> None:
    """unbroadcast: what was repeated is added up"""
    grad = np.random.default_rng(1).standard_normal((4, 2, 3))
    for shape, axes in (((4, 2, 3), ()), ((2, 3), (0,)), ((4, 1, 3), (1,)), ((1, 3), (0, 1)), ((), (0, 1, 2))):
        wanted = grad.sum(axis=axes).reshape(shape)
        why = f"an input of shape {shape} was used {grad.size // max(1, wanted.size)} times for each of its numbers; gradients of uses add"
        compare(f"unbroadcast from {grad.shape} to {shape}", exercise.unbroadcast(grad, shape), wanted, why)


def check_together(exercise: ModuleType) -> None:
    """all three in the engine, against finite differences"""

    class Mul(Function):
        def forward(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
            self.save(x, y)
            return x * y

        def backward(self, dz: np.ndarray) -> tuple[np.ndarray, ...]:
            x, y = self.saved
            dx, dy = exercise.mul_backward(dz, *np.broadcast_arrays(x, y))
            return exercise.unbroadcast(dx, x.shape), exercise.unbroadcast(dy, y.shape)

    class Sum(Function):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return np.asarray(x.sum())

        def backward(self, dy: np.ndarray) -> np.ndarray:
            return exercise.sum_backward(dy, self.shapes[0])

    rng = np.random.default_rng(2)
    x, row = (Tensor(rng.standard_normal(s), requires_grad=True) for s in ((2, 3), (3,)))
    try:
        gradcheck(lambda x, row: Sum()(Mul()(Mul()(x, row), x)), [x, row])
    except AssertionError as error:
        raise Wrong(
            f"(x·row·x).sum(): {error}\neach alone was right, so look at shapes and at what you return"
        ) from error
