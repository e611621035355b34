"""Grades chapter 10."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from autograd import Tensor
from kernels.dispatch import references
from lessons.grading import answer, compare, demand
from lessons.plain_step import PlainStep
from lessons.points import A, B, cloud, networks
from lessons.sources import by_loss


def position() -> tuple[PlainStep, Tensor, Tensor]:
    rng = np.random.default_rng(7)
    return PlainStep(*networks(2), pool_size=0), Tensor(cloud(rng, A, 16)), Tensor(cloud(rng, B, 16))


def check_sources(exercise: ModuleType) -> None:
    """gradients_by_source: each source alone, on points"""
    with references():
        game, a, b = position()
        found = by_loss(game, "generators", a, b)
        wanted = {
            name: np.concatenate([np.ravel(g) for g in found[name]["gen_ab"].values() if g is not None])
            for name in ("G_A", "cycle_A", "cycle_B", "idt_A")
        }
        right = {
            "adversarial": wanted["G_A"],
            "cycle": wanted["cycle_A"] + wanted["cycle_B"],
            "identity": wanted["idt_A"],
        }
        for network in (game.gen_ab, game.gen_ba, game.disc_b):
            network.zero_grad()
            network.requires_grad_(True)
        yours = exercise.gradients_by_source(game, a, b)
        demand(
            isinstance(yours, dict) and set(yours) == set(right),
            f"wanted a dict with {sorted(right)}, yours has {sorted(yours) if isinstance(yours, dict) else type(yours).__name__}",
        )
        sofar = np.zeros_like(wanted["G_A"])
        for name, value in right.items():
            sofar = sofar + value
            mine = np.asarray(yours[name])
            added = (
                mine.shape == value.shape and name != "adversarial" and np.allclose(mine, sofar, rtol=1e-3, atol=1e-4)
            )
            why = (
                "yours is this source plus those before it: `backward` adds, so forget first"
                if added
                else "the gradient of gen_ab alone, in the order of gen_ab.parameters()"
            )
            if (
                name == "cycle"
                and mine.shape == value.shape
                and np.allclose(mine, wanted["cycle_A"], rtol=1e-3, atol=1e-4)
            ):
                why = "gen_ab takes part in both round trips: it leads there in one and back in the other. The second is missing"
            compare(name, mine, value, why, 1e-4)


def check_longest(exercise: ModuleType) -> None:
    """longest_at_first: who moves the generator in the beginning"""
    answer(
        exercise,
        "longest_at_first",
        "cycle",
        "weight 10, twice; the discriminator's opinion is worth little before it has learned anything",
    )
