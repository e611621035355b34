"""Grades chapter 0."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lessons.grading import answer, demand
from lessons.points import A, B


def check_pairings(exercise: ModuleType) -> None:
    """perfect_pairings: how many pairings the losses allow"""
    why = (
        "D_B asks only whether the points that arrive look like B, all four clusters of it. The cycle asks only whether each\n"
        "point comes home. Any one-to-one pairing does both; count those: the first cluster can choose among 4, the next ..."
    )
    answer(exercise, "perfect_pairings", 24, why)


def check_draw(exercise: ModuleType) -> None:
    """undecided_d, undecided_g: the losses of a draw"""
    answer(
        exercise, "undecided_d", 0.25, "(½ - 1)² is ¼, and so is (½)²; the loss is half of one plus half of the other"
    )
    answer(exercise, "undecided_g", 0.25, "G's loss has no half in front: it is (½ - 1)²")


def check_function(exercise: ModuleType) -> None:
    """pairing: the nearest centre of each point"""
    rng = np.random.default_rng(0)
    worlds: tuple[np.ndarray, ...] = (B, A, rng.standard_normal((7, 2)))
    for centres in worlds:
        wanted = rng.integers(len(centres), size=20)
        points = centres[wanted] + 0.05 * rng.standard_normal((20, 2)) * abs(centres[wanted]).max()
        nearest = [int(np.argmin([float(((c - p) ** 2).sum()) for c in centres])) for p in points]
        yours = exercise.pairing(points, centres)
        demand(
            yours is not None and len(yours) == 20,
            f"pairing gave {yours!r}, wanted a list of 20 indices, one for each point",
        )
        bad = [i for i in range(20) if int(yours[i]) != nearest[i]]
        if bad:
            i, far = bad[0], np.sqrt(((centres - points[bad[0]]) ** 2).sum(1))
            words = f"point {i} at {points[i].round(2)}: yours says centre {yours[i]}, which is {far[int(yours[i])]:.2f} away;"
            demand(
                False,
                f"{words}\ncentre {nearest[i]} is only {far[nearest[i]]:.2f} away ({len(bad)} of 20 points differ)",
            )
