"""Grades chapter 12."""

from __future__ import annotations

from types import ModuleType

from lessons.grading import Wrong, demand
from lessons.points import Change, train


def check_edits(exercise: ModuleType) -> None:
    """edits: only the round trip moves"""
    if exercise.edits is None:
        raise NotImplementedError("edits")
    change = Change(tuple(map(tuple, exercise.edits)))
    try:
        kind = change.kind()
    except ValueError as error:
        raise Wrong(str(error)) from error
    except SyntaxError as error:
        raise Wrong(f"what you made of plain_step.py is no Python: {error}") from error
    found = train(3, kind=kind).numbers()
    said = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    demand(found["round trip"] > 0.5, f"the round trip is still good: {said}.\nWhich loss wants points to come home?")
    demand(
        found["reached"] == 4 and found["missed by"] < 0.25,
        f"more than the round trip broke: {said}.\nThe generators no longer get to B; which loss leads them there?",
    )
    demand(0.2 < found["D"] < 0.35 and 0.2 < found["G"] < 0.35, f"the game is no longer even: {said}")
