"""Grades chapter 4."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from autograd import Tensor
from kernels.dispatch import references
from lessons.grading import answer, compare, demand
from lessons.plain_step import PlainStep
from lessons.points import A, B, cloud, networks


def check_predictions(exercise: ModuleType) -> None:
    """without_freeze, generator_loss_of_the_leak: predictions"""
    why = "what reaches the discriminators in G's turn is forgotten by adam_d.zero_grad() before it can move them; freezing saves the work"
    answer(exercise, "without_freeze", "the same", why)
    why = "then what G wants of the discriminators is added to what they want themselves: D is also trained to call fakes real"
    answer(exercise, "generator_loss_of_the_leak", "below", why)


def position(stale: float = 0.0) -> tuple[PlainStep, list[Tensor]]:
    """A game after the generators' turn: discriminators frozen, fakes with their history, `stale` left in D's gradients."""
    rng = np.random.default_rng(3)
    a, b = Tensor(cloud(rng, A, 16)), Tensor(cloud(rng, B, 16))
    game = PlainStep(*networks(1), pool_size=0, lr=1e-2)
    for disc in (game.disc_a, game.disc_b):
        for p in disc.parameters():
            p.grad = np.full(p.shape, stale, np.float32) if stale else None
        disc.requires_grad_(False)
    return game, [a, b, game.gen_ba(b), game.gen_ab(a)]


def weights(game: PlainStep, name: str) -> np.ndarray:
    return np.concatenate([p.data.ravel() for p in getattr(game, name).parameters()])


def check_turn(exercise: ModuleType) -> None:
    """discriminators_turn: the right networks move, and only they"""
    with references():
        game, before = position(stale=1.0)
        old = weights(game, "disc_b").copy()
        exercise.discriminators_turn(game, *before)
        reached = any(p.grad is not None for p in [*game.gen_ab.parameters(), *game.gen_ba.parameters()])
        demand(
            not reached,
            "the generators' weights got gradients: you gave the discriminators fakes with their history.\nCut it with .detach(), or G will be pushed to make *worse* fakes the next time somebody steps",
        )
        demand(
            (weights(game, "disc_b") != old).any(),
            "disc_b did not move at all. Is it still frozen? Was adam_d's step called?",
        )
        right, parts = position()
        right.fake_a, right.fake_b = parts[2], parts[3]
        right.move_discriminators(*parts[:2])
        stale, parts = position(stale=1.0)
        stale.fake_a, stale.fake_b = parts[2], parts[3]
        stale.adam_d.zero_grad = lambda: None  # type: ignore[method-assign]
        stale.move_discriminators(*parts[:2])
        if np.allclose(weights(game, "disc_b"), weights(stale, "disc_b"), atol=1e-5):
            demand(
                False,
                "the step followed gradients that were there before your backward, which adds to them:\nforget them first, adam_d.zero_grad()",
            )
        for name in ("disc_b", "disc_a"):
            why = f"{name} moved, but elsewhere. Real points to 1, fakes to 0, each with weight ½, both networks; disc_b looks at b and fake_b"
            compare(f"weights of {name}", weights(game, name), weights(right, name), why, 1e-5)
