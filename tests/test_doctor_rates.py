"""Today's rules on the runs that `python -m tests.doctor_rates --record` kept: hits, and no false alarms."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.doctor_rates import FILE, NAMED, SHELF, SOUND, WON, Kept, retrieval, said

RUNS: dict[str, list[Kept]] = json.loads(FILE.read_text("utf-8"))


@pytest.mark.parametrize("name", {**NAMED, **SHELF})
def test_the_doctor_names_what_is_broken_and_nothing_else(name: str) -> None:
    """Under every seed. What stands on the shelf it cannot see."""
    wanted = (NAMED | SHELF)[name][1]
    assert [said(run) for run in RUNS[name]] == [[wanted] if wanted else []] * len(RUNS[SOUND])
    assert len(RUNS[SOUND]) >= 3


def number(run: Kept, rule: str) -> float:
    """What stands apart in the runs that a rule names: how far a discriminator's scores of real and of fake lie apart, or how
    seldom the true partner is the nearest."""
    if rule == WON:
        return min(float(np.mean([look[f"D_{d}_real"] - look[f"D_{d}_fake"] for look in run["looks"]])) for d in "AB")
    return 1 - float(np.mean(retrieval(run)))


@pytest.mark.parametrize("name", [name for name in NAMED if name != SOUND])
def test_what_is_named_stands_apart_from_every_sound_run(name: str) -> None:
    rule = NAMED[name][1]
    assert min(number(run, rule) for run in RUNS[name]) > 1.5 * max(number(run, rule) for run in RUNS[SOUND])
