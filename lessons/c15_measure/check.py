"""Grades chapter 15."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lessons.c15_measure.liars import LIARS, honest
from lessons.grading import demand

CLUES = {
    "remembers answers": "give it *other* data of the same size",
    "less exact": "compare to 1e-6, not by eye: float16 keeps three digits",
    "half of it": "compare every element",
    "writes into its input": "keep a copy of x and look whether x is still the same",
    "right only while looked at": "look again after many calls: right before the timing and wrong after it is wrong",
}


def check_honest(exercise: ModuleType) -> None:
    """trusted: lets the honest pass"""
    x = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    demand(
        exercise.trusted(honest, honest, x),
        "the honest one was refused: float32 sums may differ in the last digit, and 1e-6 must be let pass",
    )
    demand(exercise.trusted(lambda x: x + x + np.float32(1), honest, x), "x + x + 1 is right too, and was refused")


def check_liars(exercise: ModuleType) -> None:
    """trusted: refuses five liars"""
    x = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    for name, make in LIARS.items():
        demand(not exercise.trusted(make(honest), honest, x.copy()), f"“{name}” was trusted.\nHint: {CLUES[name]}")
