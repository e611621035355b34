"""Grades chapter 11."""

from __future__ import annotations

from types import ModuleType

from lessons.c12_museum.measure import measured
from lessons.exhibits import MUSEUM, SOUND
from lessons.grading import Wrong, demand

KEY = {
    "P": (
        "discriminators have won",
        "D is far below ¼ and G near 1; the dots have hardly moved, and the colours are strong",
    ),
    "Q": ("sound", "D and G at ¼, a short way home, every cluster reached"),
    "R": ("discriminators swapped", "both losses nearly 0: the two are not playing against each other"),
    "S": (
        "no cycle",
        "it lands on B and the losses are not far from ¼, but switch on “and back again”: nobody comes home",
    ),
    "T": (
        "cycle too strong",
        "the round trip is perfect because nothing has moved; D has an easy life, as with P, but look how flat the round trip is from the start",
    ),
    "U": (
        "discriminators bribed",
        "G far below ¼ while D is not at 1: G is believed, though the dots are not where B is",
    ),
}


def check_patients(exercise: ModuleType) -> None:
    """diagnoses: six patients"""
    given = exercise.diagnoses
    if not any(given.values()):
        raise NotImplementedError("diagnoses")
    wrong = [p for p, (right, _) in KEY.items() if given.get(p) != right]
    if wrong:
        patient = wrong[0]
        raise Wrong(
            f"patient {patient} is not {given.get(patient)!r}: {KEY[patient][1]} ({len(wrong)} of 6 are not right yet)"
        )


def check_rules(exercise: ModuleType) -> None:
    """examine: every exhibit of the museum and ten sound runs, none missed and no false alarm"""
    for exhibit in (SOUND, *MUSEUM):
        for seed, n in enumerate(measured()[exhibit.name]):
            said, right = exercise.examine(n["D"], n["G"], n["round trip"]), exhibit.named
            kind = "a false alarm" if right == "sound" else "missed"
            demand(
                said == right,
                f"D {n['D']:.3f}, G {n['G']:.3f}, round trip {n['round trip']:.3f} ({exhibit.name}, seed {seed}): yours says {said!r}, "
                f"it is {right!r}: {kind}",
            )
