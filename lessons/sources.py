"""Which loss moves which network, and how much: each loss of a turn is sent backward alone. Used by chapters 4 and 10."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from autograd import Tensor
from kernels.device import Array
from lessons import plain_step
from lessons.plain_step import PlainStep

NETWORKS = ("gen_ab", "gen_ba", "disc_a", "disc_b")
Gradients = dict[str, Array | None]
"""By the parameter's name."""


def by_loss(game: PlainStep, turn: str, a: Tensor, b: Tensor) -> dict[str, dict[str, Gradients]]:
    """loss -> network -> gradients, in the "generators" or the "discriminators" turn. Nothing is moved."""
    move = getattr(game, f"move_{turn}")
    with at_rest(game):
        names, found = list(move(a, b)), {}
        for name in names:
            for network in NETWORKS:
                getattr(game, network).zero_grad()
            with alone(name):
                move(a, b)
            found[name] = {n: {key: p.grad for key, p in getattr(game, n).named_parameters()} for n in NETWORKS}
    return found


def length(gradients: Gradients) -> float | None:
    """The Euclidean length of all of them together; None if there is none."""
    there = [float((g * g).sum()) for g in gradients.values() if g is not None]
    return float(np.sqrt(sum(there))) if there else None


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Within this context the sum of all losses is this loss alone."""
    total, plain_step.total = plain_step.total, lambda losses: losses[name]
    try:
        yield
    finally:
        plain_step.total = total


@contextlib.contextmanager
def at_rest(game: PlainStep) -> Iterator[None]:
    """Within this context optimisers do not move anything."""
    optimizers = (game.adam_g, game.adam_d)
    for optimizer in optimizers:
        optimizer.step = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        for optimizer in optimizers:
            del optimizer.step  # the class's own is seen again
