"""Which loss moves the generators, and how much: each loss of their turn is sent backward alone.

The gradient of a sum is the sum of the gradients, so these add up to what Adam gets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kernels.device import Array
from train.evaluation.overhearing import Forward, overheard
from train.models.cyclegan import CycleGAN

SOURCES = {"G": "adversarial", "cycle": "cycle", "idt": "identity"}
"""What a loss is about, by its name's beginning."""


@dataclass
class Pull:
    """The gradients of one loss: of the generators' parameters, by network and name, and along the fake [N,H,W,C]."""

    parameters: dict[str, dict[str, Array]] = field(default_factory=dict)
    fake: Array | None = None


def by_loss(model: CycleGAN, a: Array, b: Array) -> dict[str, Pull]:
    """Each of the generators' losses by name. No weight moves; the gradients in the model's parameters are forgotten."""
    found: dict[str, Pull] = {}
    for i, d in enumerate(model.two_directions(model.tensor(a), model.tensor(b))):
        names = [f"{kind}_{d.name}" for kind in SOURCES if weight(model, kind, d.name) > 0]
        for name in names:
            d = model.two_directions(model.tensor(a), model.tensor(b))[i]
            told: list[Forward] = []

            def tell(forward: Forward | None, told: list[Forward] = told) -> None:
                if forward is not None and forward.outputs:
                    told.append(forward)
                    forward.outputs[0].retain_grad()

            losses = model.lockstep([overheard("generators", model.generator_losses, d, tell)])
            losses[name].backward()
            pull = found[name] = Pull(fake=told[0].outputs[0].grad)
            for generator, network in model.players["g"].items():
                grads = {key: p.grad for key, p in network.named_parameters() if p.grad is not None}
                if grads:
                    pull.parameters[generator] = grads
                network.zero_grad()
    return found


def weight(model: CycleGAN, kind: str, direction: str) -> float:
    """With which a loss is in the sum: its lambda; 0 where the step leaves it out."""
    c = model.config
    here, there = (c.lambda_A, c.lambda_B) if direction == "A" else (c.lambda_B, c.lambda_A)
    return {"G": c.lambda_GAN, "cycle": here, "idt": there * c.lambda_identity}[kind]


def joined(pulls: dict[str, Pull], generator: str) -> dict[str, dict[str, np.ndarray]]:
    """Source ("adversarial", "cycle", "identity") -> parameter -> gradient of one generator, in float64.

    A generator takes part in both cycles: it leads there in one and back in the other.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, pull in pulls.items():
        source = found.setdefault(SOURCES[name.partition("_")[0]], {})
        for key, grad in pull.parameters.get(generator, {}).items():
            source[key] = source.get(key, 0.0) + np.asarray(grad, np.float64)
    return {source: grads for source, grads in found.items() if grads}


@dataclass
class Share:
    """Of one source, in one layer or in all: the gradient's length, and what part of the sum's length is its doing.

    The share is the sum of g·s over s·s, for the sum s of all sources: shares add up to 1. One below 0 pulls against the
    others.
    """

    length: float
    share: float


def shares(sources: dict[str, dict[str, np.ndarray]], keys: list[str]) -> dict[str, Share]:
    """Of each source in these parameters together."""
    vectors = {s: np.concatenate([grads[key].ravel() for key in keys]) for s, grads in sources.items()}
    whole = sum(vectors.values(), np.zeros(()))
    square = float(whole @ whole) if whole.ndim else 0.0
    return {s: Share(float(np.sqrt(v @ v)), float(v @ whole) / square if square else 0.0) for s, v in vectors.items()}


def cosine(x: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> float:
    """Of the angle between two sources' gradients: 1 they want the same, 0 they do not meet, -1 the opposite."""
    dot, xx, yy = (sum(float((p[k] * q[k]).sum()) for k in x) for p, q in ((x, y), (x, x), (y, y)))
    return dot / (xx * yy) ** 0.5 if xx and yy else 0.0
