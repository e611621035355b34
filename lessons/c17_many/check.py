"""Grades chapter 17."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lessons.grading import answer, compare


def check_answers(exercise: ModuleType) -> None:
    """answers_without_a_code: what a formula can do"""
    answer(
        exercise,
        "answers_without_a_code",
        1,
        "a network without a code or noise is a formula: the same numbers in, the same numbers out",
    )


def check_coverage(exercise: ModuleType) -> None:
    """coverage: how evenly answers are shared"""
    centres = np.array([(0.0, 1.0), (1.0, 0.0), (-1.0, -1.0)])
    for counts in ((4, 4, 4), (6, 3, 1), (5, 7, 0)):
        points = np.repeat(centres, counts, axis=0) + 0.01
        wanted = 3 * min(counts) / sum(counts)
        compare(
            f"coverage of {counts}",
            exercise.coverage(points, centres),
            wanted,
            "a centre that nobody goes to counts too: its share is 0"
            if 0 in counts
            else "three times the rarest one's share",
        )
