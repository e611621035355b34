"""Grades chapter 16."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lessons.c16_hidden.experiment import rounded
from lessons.grading import demand
from train.data.builtin.scenes import scene


def check_hidden(exercise: ModuleType) -> None:
    """hide, read: one bit, in six pictures, through 8 bits and noise"""
    rng = np.random.default_rng(0)
    for seed in range(6):
        picture = scene("AB"[seed % 2], 40 + seed, 48).astype(np.float64).clip(-0.9, 0.9)
        for bit in (True, False):
            hidden = np.asarray(exercise.hide(picture.copy(), bit))
            demand(hidden.shape == picture.shape, f"hide gave shape {hidden.shape}, wanted {picture.shape}")
            change = float(abs(hidden - picture).max())
            demand(change <= 0.03 + 1e-9, f"a value changed by {change:.3f}, at most 0.03 is allowed")
            arrived = rounded(hidden + 0.05 * rng.standard_normal(hidden.shape))
            demand(
                bool(exercise.read(arrived)) == bit,
                f"picture {seed}: hid {bit}, read {not bit}.\nOne pixel drowns in the noise. A known pattern over *all* pixels does not: noise averages out along it, and so does the picture if neighbours get opposite signs",
            )
