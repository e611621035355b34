"""One cluster, two answers: what G does with what distinguishes points that should be alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from lessons.parts import Lines, Part, Table
from lessons.points import Run, apply, cloud, train

GRAY = np.array([(0, 0)], np.float32)
HUES = np.array([(-1.2, 0), (1.2, 0)], np.float32)


def shared(run: Run) -> float:
    """Which share of a gray cloud lands at the rarer one of the two."""
    points = cloud(np.random.default_rng(0), GRAY, 400)[0, :, 0]
    right = float((apply(run.game.gen_ab, points)[:, 0] > 0).mean())
    return min(right, 1 - right)


def trained(seed: int, weight: float) -> Run:
    """From gray to the two hues, with this weight of the cycle."""
    return train(seed, worlds=(GRAY, HUES), lambda_cycle=weight)


def rarer(seed: int, weight: float) -> float:
    """What the museum's file keeps."""
    return shared(trained(seed, weight))


def across(run: Run, places: np.ndarray) -> np.ndarray:
    """Where G puts points of a line through the cluster: along the direction that matters most to G."""
    steps = np.array([apply(run.game.gen_ab, np.array([d, -d]))[:, 0] @ (1, -1) for d in np.eye(2) * 0.1])
    along = steps / max(float(np.sqrt((steps**2).sum())), 1e-9)
    return apply(run.game.gen_ab, places[:, None] * along)[:, 0]


def show(seeds: Sequence[int] = range(5)) -> list[Part]:
    """A table and the curves."""
    rows, curves, places = [], {}, np.linspace(-0.25, 0.25, 41)
    for seed in seeds:
        print(f"seed {seed}", file=sys.stderr)
        both = [trained(seed, weight) for weight in (10.0, 0.0)]
        rows.append((f"seed {seed}", *(f"{shared(run):.0%}" for run in both)))
        curves[f"seed {seed}"] = across(both[0], places)
    return [
        Table("How many of the gray points go to the rarer answer", ("", "with the cycle", "without"), rows, "50 % would be an even split; 0 %: everything goes to one side."),
        Lines("Where G puts a point, over its place in the gray cluster (with the cycle)", places, curves, "place in the cluster; its spread is 0.08", note="The place within the cluster has become a code that chooses between the answers."),
    ]  # fmt: skip
