"""Grades chapter 6."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lessons.c06_circles.dirac import end, play
from lessons.grading import answer, demand


def check_pool(exercise: ModuleType) -> None:
    """pool_makes_it: what a pool does here"""
    answer(
        exercise,
        "pool_makes_it",
        "larger",
        "old fakes are answers to an old psi: they say where the fake *was*, and push on in the same sense",
    )


def check_learns(exercise: ModuleType) -> None:
    """discriminator_slope: D still learns"""
    for theta in (1.0, -0.5):
        slope = exercise.discriminator_slope(theta, 0.0)
        demand(
            slope * theta > 0.1 * theta * theta,
            f"at theta = {theta}, psi = 0 yours moves psi by {slope:.3g}: with psi at 0 there is nothing to punish yet, and D must lean towards the fake's side, by about {theta / 2:.2g}",
        )


def check_rests(exercise: ModuleType) -> None:
    """discriminator_slope: the game comes to rest"""
    for start in ((1.0, 0.0), (-0.7, 0.7), (0.1, -1.0)):
        try:
            path = play(exercise.discriminator_slope, start=start)
        except OverflowError:
            path = np.array([np.inf])
        demand(
            np.isfinite(path).all(),
            f"from {start} the numbers left the range of floats: your penalty is too strong or has the wrong sign",
        )
        far = end(path)
        demand(
            far < 0.01,
            f"from theta, psi = {start}: after 4000 steps still {far:.2f} away from rest.\nA circle neither grows nor shrinks by itself; something must take a share of psi away in *every* step, in the direction of 0",
        )
