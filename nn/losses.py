"""Adversarial losses by name, as one pair of functions: what the discriminator and what the generator minimise."""

from __future__ import annotations

from autograd import Tensor
from autograd import ops as F

MODES = ("lsgan", "vanilla", "hinge")


def discriminator_loss(scores: Tensor, real: bool, mode: str = "lsgan", weight: float = 1.0) -> Tensor:
    """How wrong the scores of a discriminator are, for pictures that are real or fake, times `weight`. One number.

    lsgan    mean (score - label)^2                 labels 1 and 0
    vanilla  mean log loss of the score as a logit
    hinge    mean max(0, 1 - label * score)         labels +1 and -1
    """
    if mode == "lsgan":
        return F.lsgan_loss(scores, float(real), weight)
    if mode == "vanilla":
        return F.bce_with_logits(scores, float(real), weight)
    if mode == "hinge":
        return F.hinge_loss(scores, 1.0 if real else -1.0, weight)
    raise ValueError(f"unknown gan_mode {mode!r}; wanted one of {', '.join(MODES)}")


def generator_loss(scores: Tensor, mode: str = "lsgan") -> Tensor:
    """How far a generator is from being believed: its fakes' scores should look real. One number."""
    return F.mean(scores, -1.0) if mode == "hinge" else discriminator_loss(scores, True, mode)
