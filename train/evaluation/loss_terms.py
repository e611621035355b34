"""The terms of a step's losses: each with its formula, and its value computed anew from the pictures and the scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from train.evaluation.explained_step import Explained
from train.evaluation.gradient_sources import SOURCES, weight
from train.evaluation.overhearing import ENDS, LETTERS, Forward

Array = np.ndarray


@dataclass
class Term:
    """One summand. `mean` is the formula's value in float64, which the weight multiplies."""

    loss: str  # "cycle_A"
    about: str  # "adversarial", "cycle", "identity", "real", "fake" or "penalty"
    formula: str
    weight: float
    mean: float

    @property
    def value(self) -> float:
        return self.weight * self.mean


Formula = tuple[str, Callable[[Array], Array]]
"""In words, with s for the score, and as a function of the scores. The loss is its mean."""


def log1p_exp(s: Array) -> Array:
    """log(1 + e^s), which cannot overflow."""
    return np.logaddexp(0.0, s)


WANTED: dict[str, dict[str, Formula]] = {
    "lsgan": {
        "adversarial": ("(s − 1)²", lambda s: (s - 1) ** 2),
        "real": ("(s − 1)²", lambda s: (s - 1) ** 2),
        "fake": ("s²", lambda s: s**2),
    },
    "vanilla": {
        "adversarial": ("log(1 + e⁻ˢ)", lambda s: log1p_exp(-s)),
        "real": ("log(1 + e⁻ˢ)", lambda s: log1p_exp(-s)),
        "fake": ("log(1 + eˢ)", log1p_exp),
    },
    "hinge": {
        "adversarial": ("−s", lambda s: -s),
        "real": ("max(0, 1 − s)", lambda s: np.maximum(0, 1 - s)),
        "fake": ("max(0, 1 + s)", lambda s: np.maximum(0, 1 + s)),
    },
    "wgangp": {
        "adversarial": ("−s", lambda s: -s),
        "real": ("−s", lambda s: -s),
        "fake": ("s", lambda s: s),
    },
}
"""What each gan_mode minimises (nn/losses.py); "adversarial" is the generator's."""


def terms(e: Explained) -> list[Term]:
    """All, in the order of the losses."""
    c = e.model.config
    found: list[Term] = []

    def judged(loss: str, about: str, forward: Forward, i: int, share: float) -> None:
        words, function = WANTED[c.gan_mode][about]
        scores = forward.outputs[i].numpy().astype(np.float64)
        found.append(Term(loss, about, f"mean {words}, s = {forward.made[i]}", share, float(function(scores).mean())))

    for name, (start, target, there, back, disc) in ENDS.items():
        made = {n: y for f in e.find("generators", name) for n, y in zip(f.made, f.outputs, strict=True)}
        given = {n: x for f in e.find("generators", name) for n, x in zip(f.names, f.inputs, strict=True)}
        fake, same = f"{LETTERS[there]}({start})", f"{LETTERS[there]}({target})"
        returned = f"{LETTERS[back]}({fake})"
        for kind, x, y in (("cycle", returned, start), ("idt", same, target)):
            if weight(e.model, kind, name) > 0:
                pair = made[x].numpy().astype(np.float64) - given[y].numpy()
                formula = f"mean |{x} − {y}|"
                found.append(Term(f"{kind}_{name}", SOURCES[kind], formula, weight(e.model, kind, name), float(np.abs(pair).mean())))  # fmt: skip
        for f in e.find("generators", name):
            if f.network == disc:
                judged(f"G_{name}", "adversarial", f, 0, c.lambda_GAN)
        for f in e.find("discriminators", name):
            judged(f"D_{name}", "real", f, 0, 0.5)
            judged(f"D_{name}", "fake", f, 1, 0.5)
            if c.gan_mode == "wgangp":
                sofar = sum(term.value for term in found[-2:])
                rest = (e.before.losses[f"D_{name}"] - sofar) / (0.5 * c.lambda_gp) if c.lambda_gp else 0.0
                words = f"mean (|slope of {LETTERS[disc]} between real and fake| − 1)²"
                found.append(Term(f"D_{name}", "penalty", words, 0.5 * c.lambda_gp, rest))
    return found
