"""The Dirac game under six rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from lessons.c06_circles.dirac import STEPS, discriminator_slope, end, play
from lessons.parts import Lines, Part, Table


def penalised(theta: float, psi: float) -> float:
    """With a penalty ½ γ (slope of D at the real point)², γ = ½; here the slope is psi itself."""
    return discriminator_slope(theta, psi) - 0.5 * psi


RULES: dict[str, dict[str, Any]] = {
    "both at once": dict(together=True),
    "in turn": {},
    "in turn, rate falls to 0": dict(decay=True),
    "in turn, pool of 50": dict(pool=50),
    "in turn, penalty": dict(d_slope=penalised),
}


def show() -> list[Part]:
    """Phase portraits, distance over time, a table."""
    paths = {name: play(**rule) for name, rule in RULES.items()}
    some = {name: path[:: 1 if "penalty" in name else 4][:400] for name, path in paths.items()}
    far = {name: np.sqrt((path[::40] ** 2).sum(1)) for name, path in paths.items()}
    rows = [
        (name, f"{np.sqrt((path[:500] ** 2).sum(1)).max():.2f}", f"{end(path):.2g}") for name, path in paths.items()
    ]
    seeds = [end(play(pool=50, seed=seed)) for seed in range(5)]
    return [
        Lines("The game as a path", {n: p[:, 0] for n, p in some.items()}, {n: p[:, 1] for n, p in some.items()}, "theta, the fake (psi, the slope of D, upwards)", square=True, top=4.0),
        Lines("Distance from rest", np.arange(0, STEPS + 1, 40), far, "step"),
        Table("How far from rest", ("rule", "at most in the first 500 steps", "in the last 500"), rows, f"Pool of 50 with five seeds: {min(seeds):.2f} to {max(seeds):.2f}."),
    ]  # fmt: skip
