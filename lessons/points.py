"""CycleGAN in the plane: the plain step on points, whose training takes seconds and can be drawn whole.

A cloud of N points is one picture [1,N,1,2] with two channels, x and y; networks are 1x1 convolutions, which treat every
pixel alike and by itself: a small network applied to each point. Kernels are the references, so nothing is compiled.

A: four clusters at the corners of a square. B: four on the axes. Unpaired, so nobody says which belongs to which.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from kernels.dispatch import references
from lessons import plain_step
from lessons.plain_step import PlainStep
from nn.layers import Conv2d, LeakyReLU
from nn.module import Sequential
from nn.network import Network

A = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)], np.float32)
B = np.array([(0, 1.4), (1.4, 0), (0, -1.4), (-1.4, 0)], np.float32)
SPREAD = 0.08  # of each cluster
STEPS = 600


class PointNetwork(Network):
    """2 -> width -> width -> channels, for each point; a generator (`shift`) adds its answer to the point."""

    def __init__(self, channels: int, seed: int, width: int = 32, shift: bool = False) -> None:
        self.in_channels, self.shift = 2, shift
        layers = {0: Conv2d(2, width, 1), 1: LeakyReLU(0.2), 2: Conv2d(width, width, 1), 3: LeakyReLU(0.2)}
        self.model = Sequential({**layers, 4: Conv2d(width, channels, 1)})
        self.finish("cpu", seed, "kaiming", 0.02)
        if shift:
            last = self.model[4]
            assert isinstance(last, Conv2d)
            last.weight.data *= 0.1  # a generator starts near "leave the point where it is"

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x)
        return y + x if self.shift else y


def networks(seed: int) -> list[PointNetwork]:
    """gen_ab, gen_ba, disc_a, disc_b."""
    gens = [PointNetwork(2, 4 * seed + i, shift=True) for i in (0, 1)]
    return [*gens, *(PointNetwork(1, 4 * seed + i) for i in (2, 3))]


def cloud(rng: np.random.Generator, centres: np.ndarray, count: int) -> np.ndarray:
    """`count` points of the clusters around `centres`: [1,count,1,2]."""
    points = centres[rng.integers(len(centres), size=count)] + SPREAD * rng.standard_normal((count, 2))
    return points.astype(np.float32)[None, :, None]


def apply(network: Callable[[Tensor], Tensor], points: np.ndarray) -> np.ndarray:
    """What a network makes of points [N,2]: [N,channels]."""
    with references(), no_grad():
        return network(Tensor(points.astype(np.float32)[None, :, None])).numpy()[0, :, 0]


# -- runs


@dataclass
class Run:
    """A trained game, its losses step by step, and whatever `watch` saw on the way."""

    game: PlainStep
    losses: dict[str, list[float]] = field(default_factory=dict)
    seen: list[Any] = field(default_factory=list)

    def late(self, *names: str) -> float:
        """The mean of these losses over the last hundred steps."""
        return float(np.mean([self.losses[name][-100:] for name in names]))

    def pairing(self) -> list[int]:
        """For each cluster of A the cluster of B that its centre lands nearest to."""
        return [int(np.argmin(((B - point) ** 2).sum(1))) for point in apply(self.game.gen_ab, A)]

    def numbers(self) -> dict[str, float]:
        """What the chapters compare."""
        there = apply(self.game.gen_ab, A)
        back = apply(self.game.gen_ba, there)
        return {
            "reached": len(set(self.pairing())),
            "missed by": float(np.sqrt(((there[:, None] - B) ** 2).sum(2)).min(1).mean()),
            "round trip": float(np.sqrt(((back - A) ** 2).sum(1)).mean()),
            "D": self.late("D_A", "D_B"),
            "G": self.late("G_A", "G_B"),
        }


def train(
    seed: int = 0, steps: int = STEPS, *, lr: float = 4e-3, count: int = 64, kind: type[PlainStep] = PlainStep,
    watch: Callable[[PlainStep], Any] | None = None, looks: tuple[int, ...] = (),
    worlds: tuple[np.ndarray, np.ndarray] = (A, B), **settings: Any,
) -> Run:  # fmt: skip
    """Train on clouds of `count` points around the centres of two worlds. `settings` go to the step (lambda_cycle, …); `watch` looks before the steps `looks`."""
    settings = {"lambda_identity": 0.0, "pool_size": 0, "lr": lr, "seed": seed, **settings}
    rng = np.random.default_rng(seed)
    run = Run(kind(*networks(seed), **settings))
    with references():
        for step in range(steps + 1):
            if watch and step in looks:
                run.seen.append(watch(run.game))
            if step < steps:
                losses = run.game.step(*(cloud(rng, world, count) for world in worlds))
                for name, value in losses.items():
                    run.losses.setdefault(name, []).append(value)
    return run


# -- the plain step with one thing changed


@dataclass(frozen=True)
class Change:
    """Lines of plain_step.py and what stands there instead; "" for nothing. An exhibit is no more than that."""

    edits: tuple[tuple[str, str], ...]

    def source(self) -> str:
        """The changed file. ValueError if a line is not there exactly once: then the exhibit shows something else."""
        text = inspect.getsource(plain_step)
        for old, new in self.edits:
            if text.count(old) != 1:
                raise ValueError(f"plain_step.py has {text.count(old)} times {old!r}, wanted once")
            text = text.replace(old, new)
        return text

    def kind(self) -> type[PlainStep]:
        """The changed step."""
        scope: dict[str, Any] = {"__name__": "changed_plain_step"}
        exec(compile(self.source(), "plain_step.py, changed", "exec"), scope)  # noqa: S102  our own file
        return scope["PlainStep"]

    def diff(self) -> list[tuple[str, str]]:
        """("-" | "+", line) for each line taken away and put in."""
        parts = ((("-", old), ("+", new)) for old, new in self.edits)
        return [
            (sign, line)
            for sign, text in itertools.chain(*parts)
            for line in text.strip("\n").split("\n")
            if line.strip()
        ]
