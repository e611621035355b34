"""Grades chapter 9."""

from __future__ import annotations

from types import ModuleType

from lessons.c09_patches.experiment import nominal
from lessons.grading import answer, demand

CASES = {
    "one 3×3": ([(3, 1)], 3),
    "two 3×3": ([(3, 1), (3, 1)], 5),
    "4×4 stride 2, then 4×4": ([(4, 2), (4, 1)], 10),
    "1×1 stride 2, then 3×3": ([(1, 2), (3, 1)], 5),
    "the discriminator of the paper": ([(4, 2)] * 3 + [(4, 1)] * 2, nominal(3)),
}


def check_field(exercise: ModuleType) -> None:
    """receptive_field"""
    for name, (layers, wanted) in CASES.items():
        yours = exercise.receptive_field(layers)
        demand(
            yours == wanted,
            f"{name}: yours {yours}, wanted {wanted}.\nA kernel of k joins k neighbours. How far apart are they in pixels? By the product of all strides *before* this layer;\nso it adds (k - 1) times that",
        )


def check_layers(exercise: ModuleType) -> None:
    """layers_for_64: what fits into 64 pixels"""
    answer(exercise, "layers_for_64", 2, f"boxes for n = 1, 2, 3: {[nominal(n) for n in (1, 2, 3)]}")


def check_everywhere(exercise: ModuleType) -> None:
    """reaches_everywhere: what leaks"""
    answer(
        exercise,
        "reaches_everywhere",
        "instance_norm",
        "which op uses a number that was made of all pixels of a channel? (Chapter 8.)",
    )
