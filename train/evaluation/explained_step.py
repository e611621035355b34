"""One training step of a CycleGAN, with all that can be seen of it: `CycleGAN.step` itself runs, and is watched.

A twin of the model takes what disturbs: it is asked for single gradients, and makes the same step unwatched, so that the
kernels are warm when times are taken, and the weights can be compared: they are the same to the bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernels.dispatch import only_references
from nn.network import Network
from nn.trace import Op, Trace, traced
from train.evaluation.gradient_sources import Pull, by_loss
from train.evaluation.look import Look, look, weights
from train.evaluation.overhearing import Forward, overheard
from train.models.cyclegan import CycleGAN
from train.models.directions import Direction, MicroBatch

Array = np.ndarray
TURNS = {"generators": "g", "discriminators": "d"}


@dataclass
class Draw:
    """What a pool decided about a new picture: where it is put (-1: nowhere), and whether an older one goes out for it."""

    discriminator: str
    place: int
    older: bool
    filled: int  # pictures it then holds
    size: int
    new: Array  # [H,W,C]
    out: Array  # [H,W,C], what the discriminator is shown


@dataclass
class Turn:
    """What a player's turn did to each network: the length of the gradient that it left in its parameters, None where it left
    none, and the largest change of a weight."""

    gradient: dict[str, float | None]
    moved: dict[str, float]


@dataclass
class Explained:
    """A step, from all sides."""

    model: CycleGAN
    before: Look
    after: Look
    pulls: dict[str, Pull]
    forwards: list[Forward]
    trace: Trace
    draws: list[Draw]
    turns: dict[str, Turn]
    seconds: float  # of the watched step
    same_bits: bool  # whether the unwatched step left the same weights
    references: bool  # whether NumPy's references computed it

    def ops_of(self, tag: Any) -> list[Op]:
        """What ran for a forward, or for the losses of a (turn, direction)."""
        return [op for op in self.trace.ops if op.tag is tag or op.tag == tag]

    def find(self, turn: str, direction: str) -> list[Forward]:
        """The forwards of one direction in one turn."""
        return [f for f in self.forwards if (f.turn, f.direction) == (turn, direction)]


def explain(model: CycleGAN, a: Array, b: Array) -> Explained:
    """Make one step of `model` on pictures a and b [1,H,W,C] in [-1, 1], and say what happened.

    The model is then as CycleGAN.step leaves it. NonFiniteLoss as from there.
    """
    twin = twin_of(model)
    before = look(twin, a, b)
    pulls = by_loss(twin, a, b)
    before.losses = twin.step(a, b)
    forwards: list[Forward] = []
    draws: list[Draw] = []
    turns: dict[str, Turn] = {}
    with traced() as trace, watched(model, trace, forwards, draws, turns):
        start = time.perf_counter()
        losses = model.step(a, b)
        seconds = time.perf_counter() - start
    after = look(model, a, b)
    same = losses == before.losses and same_weights(twin, model)
    after.losses = losses_again(twin, a, b, draws)
    return Explained(model, before, after, pulls, forwards, trace, draws, turns, seconds, same, only_references())


def twin_of(model: CycleGAN) -> CycleGAN:
    """Another model in the same state."""
    twin = CycleGAN(model.config)
    twin.load_state_dict(model.state_dict())
    return twin


def same_weights(one: CycleGAN, other: CycleGAN) -> bool:
    """Whether all weights of two models agree to the bit."""
    pairs = ((x, other.networks()[name]) for name, x in one.networks().items())
    return all(
        np.array_equal(p.data, q.data)
        for x, y in pairs
        for (_, p), (_, q) in zip(x.named_parameters(), y.named_parameters(), strict=True)
    )


@contextlib.contextmanager
def watched(
    model: CycleGAN, trace: Trace, forwards: list[Forward], draws: list[Draw], turns: dict[str, Turn]
) -> Iterator[None]:
    """Within this context the model's step says what it does. Both directions run one after the other, which changes no bit,
    so that an op's time is its own."""
    update, losses_of = model.update, {turn: getattr(model, f"{turn[:-1]}_losses") for turn in TURNS}

    def hear(turn: str) -> Any:
        def losses(d: Direction) -> Any:
            def tell(forward: Forward | None) -> None:
                asked = forward is not None and not forward.outputs
                trace.tag = forward if asked else (turn, d.name)
                if asked and forward is not None:
                    forwards.append(forward)

            return overheard(turn, losses_of[turn], d, tell)

        return losses

    def updated(player: str, of: Any, directions: Any) -> Any:
        was, had = weights(model), {name: [p.arrived for p in x.parameters()] for name, x in model.networks().items()}
        trace.tag = None
        losses = update(player, of, directions)
        now, turn = weights(model), next(turn for turn, name in TURNS.items() if name == player)
        turns[turn] = Turn(
            {name: gradient_length(network, had[name]) for name, network in model.networks().items()},
            {n: max(float(np.abs(now[n][key] - was[n][key]).max()) for key in was[n]) for n in was},
        )
        return losses

    def drawing(disc: str, pool: Any) -> Any:
        decide, query = pool.decide, pool.query
        decisions: list[tuple[int, bool]] = []
        pool.decide = lambda count: decisions.append(*decide(count)) or decisions  # type: ignore[func-returns-value]

        def drawn(images: Array) -> Array:
            decisions.clear()
            out = query(images)
            place, older = decisions[0] if decisions else (-1, False)
            draws.append(Draw(disc, place, older, pool.filled, pool.size, np.array(images[0]), np.array(out[0])))
            return out

        pool.query = drawn

    model.small = lambda pictures: False  # type: ignore[method-assign]
    model.update = updated  # type: ignore[method-assign]
    model.generator_losses, model.discriminator_losses = (hear(turn) for turn in TURNS)  # type: ignore[method-assign]
    pools = {"disc_b": model.pool_b, "disc_a": model.pool_a}
    for disc, pool in pools.items():
        drawing(disc, pool)
    try:
        yield
    finally:
        for name in ("small", "update", "generator_losses", "discriminator_losses"):
            delattr(model, name)  # the class's own are seen again
        for pool in pools.values():
            del pool.decide, pool.query


def gradient_length(network: Network, had: list[Any]) -> float | None:
    """Of all its parameters' gradients together; None if none has another than it had."""
    new = [
        p.grad for p, old in zip(network.parameters(), had, strict=True) if p.grad is not None and p.arrived is not old
    ]
    return float(np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in new))) if new else None


def losses_again(model: CycleGAN, a: Array, b: Array, draws: list[Draw]) -> dict[str, float]:
    """The losses on the same pictures as before, those from the pools too, with the weights that the model has now."""
    model.micro_batch = MicroBatch()
    losses: dict[str, float] = {}
    for d in model.two_directions(model.tensor(a), model.tensor(b)):
        found = model.lockstep([model.generator_losses(d)])
        shown = [draw.out for draw in draws if model.networks()[draw.discriminator] is d.disc]
        if shown:
            d = replace(d, pool=Replay(shown[0]), fake=d.fake)  # type: ignore[arg-type]
            found |= model.lockstep([model.discriminator_losses(d)])
        losses |= {name: loss.item() for name, loss in found.items()}
    return losses


@dataclass
class Replay:
    """A pool that gives what another gave."""

    picture: Array

    def query(self, images: Array) -> Array:
        return self.picture[None]
