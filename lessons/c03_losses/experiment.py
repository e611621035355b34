"""Three losses of a discriminator over its score, their slopes, and the score that is best when it cannot be sure."""

from __future__ import annotations

import numpy as np

from autograd import Tensor
from autograd.ops import bce_with_logits, hinge_loss, lsgan_loss
from kernels.dispatch import references
from lessons.parts import Lines, Part, Table

SCORES = np.linspace(-3, 3, 121)
LOSSES = {"least squares": lsgan_loss, "log loss": bce_with_logits, "hinge": hinge_loss}


def label(name: str, real: bool) -> float:
    return 1.0 if real else (-1.0 if name == "hinge" else 0.0)


def curve(name: str, real: bool) -> tuple[np.ndarray, np.ndarray]:
    """Loss and slope at each of SCORES."""
    with references():
        values, slopes = [], []
        for score in SCORES:
            x = Tensor(np.array([score]), requires_grad=True)
            loss = LOSSES[name](x, label(name, real))
            loss.backward()
            values.append(loss.item())
            assert x.grad is not None
            slopes.append(float(x.grad[0]))
    return np.array(values), np.array(slopes)


def best(name: str, share: float) -> float:
    """The score with the least mean loss where a share of what comes is real; looked for, not computed."""
    mean = share * curve(name, True)[0] + (1 - share) * curve(name, False)[0]
    return float(SCORES[np.argmin(mean)])


def show() -> list[Part]:
    """Curves and table."""
    real = {name: curve(name, True) for name in LOSSES}
    minimax = -np.log1p(np.exp(SCORES))  # log(1 - D): what G would minimise if it simply wanted D's loss to be large
    push = {
        "be taken for real: -log D": curve("log loss", True)[1],
        "D's loss turned round: log(1 - D)": np.gradient(minimax, SCORES),
        "least squares": real["least squares"][1],
    }
    rows = [(f"{share:.0%} real", *(best(name, share) for name in LOSSES)) for share in (0.1, 0.25, 0.5, 0.75, 0.9)]
    return [
        Lines("Loss for a real picture, over the score", SCORES, {n: c[0] for n, c in real.items()}, "score", top=6),
        Lines("Its slope: how hard the score is pushed", SCORES, {n: c[1] for n, c in real.items()}, "score"),
        Table("Best score for a kind of picture of which a share is real", ("of these", *LOSSES), rows, "Looked for in steps of 0.05 (python -m lessons 3)."),
        Lines(
            "How hard the generator is pushed, over the score of its fake", SCORES, {n: abs(p) for n, p in push.items()}, "score of the fake", "y",
            note="On the left the discriminator is sure that it is a fake. One of the three has gone to sleep there.",
        ),
    ]  # fmt: skip
