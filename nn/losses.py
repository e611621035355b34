"""Adversarial losses by name, as one pair of functions: what the discriminator and what the generator minimise."""

from __future__ import annotations

from collections.abc import Callable

from autograd import Tensor
from autograd import ops as F

MODES = ("lsgan", "vanilla", "hinge", "wgangp")


def discriminator_loss(scores: Tensor, real: bool, mode: str = "lsgan", weight: float = 1.0) -> Tensor:
    """How wrong the scores of a discriminator are, for pictures that are real or fake, times `weight`. One number.

    lsgan    mean (score - label)^2                 labels 1 and 0
    vanilla  mean log loss of the score as a logit
    hinge    mean max(0, 1 - label * score)         labels +1 and -1
    wgangp   mean -label * score                    labels +1 and -1; wants `gradient_penalty` beside it
    """
    if mode == "lsgan":
        return F.lsgan_loss(scores, float(real), weight)
    if mode == "vanilla":
        return F.bce_with_logits(scores, float(real), weight)
    if mode == "hinge":
        return F.hinge_loss(scores, 1.0 if real else -1.0, weight)
    if mode == "wgangp":
        return F.mean(scores, -weight if real else weight)
    raise ValueError(f"unknown gan_mode {mode!r}; wanted one of {', '.join(MODES)}")


def generator_loss(scores: Tensor, mode: str = "lsgan", weight: float = 1.0) -> Tensor:
    """How far a generator is from being believed: its fakes' scores should look real, times `weight`. One number."""
    return F.mean(scores, -weight) if mode == "hinge" else discriminator_loss(scores, True, mode, weight)


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor, weight: float = 10.0
) -> Tensor:
    """weight * mean over images of (|slope| - 1)^2: how far the discriminator is from rising by 1 per unit of distance.

    The slope is the gradient of an image's summed scores, taken at share * real + (1 - share) * fake; share [N,1,1,1] in
    [0, 1]. It is a gradient itself, so the weights' gradient of this loss is a gradient of a gradient
    (autograd/double_backward.py). Gulrajani et al. 2017.
    """
    from autograd import grad  # of all losses only this one needs it

    mixed = Tensor((real * share + fake * (1.0 - share)).data, requires_grad=True, device=real.device)
    (slope,) = grad(discriminator(mixed), [mixed])  # [N,H,W,C]
    length = ((slope * slope).sum(axis=(1, 2, 3)) + 1e-32) ** 0.5  # [N]; the constant keeps the root's slope finite
    return ((length - 1.0) ** 2).mean() * weight
