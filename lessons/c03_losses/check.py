"""Grades chapter 3."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lessons.grading import answer, compare, demand


def check_loss(exercise: ModuleType) -> None:
    """lsgan: the loss"""
    for x, target, weight in cases():
        compare(
            f"loss of scores {x.shape}, target {target:g}, weight {weight:g}",
            exercise.lsgan(x, target, weight)[0],
            weight * ((x - target) ** 2).mean(),
            "a mean over *all* elements, then the weight",
        )


def check_dx(exercise: ModuleType) -> None:
    """lsgan: dx"""
    for x, target, weight in cases():
        dx = np.asarray(exercise.lsgan(x, target, weight)[1])
        wanted = 2 * weight * (x - target) / x.size
        demand(dx.shape == x.shape, f"dx has shape {dx.shape}, wanted {x.shape}: one slope for each score")
        ratio = float(np.median(dx / wanted))
        known = {
            x.size: "the mean divides by the number of scores, and so its slope does",
            0.5: "the slope of a square has a factor 2",
            1 / weight: "the weight is part of the loss, so it is part of the slope",
            -1.0: "raise the score towards the target and the loss *falls*: mind the sign",
        }
        why = next((text for factor, text in known.items() if abs(ratio / factor - 1) < 1e-6 and factor != 1), "")
        compare("dx", dx, wanted, f"yours is {ratio:.3g} times what is wanted. {why}".strip())


def check_best(exercise: ModuleType) -> None:
    """best_least_squares, best_hinge: the best score when 80 % are real"""
    answer(exercise, "best_least_squares", 0.8, "set the slope of 0.8 (s - 1)² + 0.2 s² to zero")
    answer(
        exercise, "best_hinge", 1, "between -1 and 1 the slope is -0.8 + 0.2: downhill all the way; beyond 1 it is +0.2"
    )


def cases() -> list[tuple[np.ndarray, float, float]]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((1, 2, 3, 1)), 1.0, 0.5), (rng.standard_normal(5), 0.0, 3.0)]
