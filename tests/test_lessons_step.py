"""The lessons' plain step is the product's step: the same losses and the same weights."""

from __future__ import annotations

import numpy as np
import pytest

from lessons.plain_step import PlainStep
from nn import Adam
from train.cyclegan import Config, CycleGAN

STEPS = 20
BOUND = 1e-12
"""The product runs G(a) and G(b) as one batch, the plain step one after the other: sums are rounded in another order."""


def furthest_apart(change=lambda plain: None, identity: float = 0.5) -> float:
    """The largest difference of any loss or weight within 20 steps, in float64; `change` is made to the plain step."""
    config = Config(ngf=2, ndf=2, n_blocks=1, pool_size=3, lambda_identity=identity, init_gain=0.1, device="cpu")
    product, twin = CycleGAN(config).astype("float64"), CycleGAN(config).astype("float64")
    plain = PlainStep(*twin.networks().values(), lambda_identity=identity, pool_size=3, lr=config.lr)
    change(plain)
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(STEPS):
        a, b = np.tanh(rng.standard_normal((2, 1, 24, 24, 3)))
        mine, theirs = plain.step(a, b), product.step(a, b)
        worst = max(worst, *(abs(mine.get(name, 0.0) - value) for name, value in theirs.items()))
    for name, network in product.networks().items():
        own = twin.networks()[name].state_dict()
        worst = max(worst, *(float(abs(own[key] - value).max()) for key, value in network.state_dict().items()))
    return worst


@pytest.mark.parametrize("identity", [0.5, 0.0])
def test_the_plain_step_gives_the_products_losses_and_weights(identity):
    assert furthest_apart(identity=identity) <= BOUND


def other_pool(plain: PlainStep) -> None:
    plain.pool_b.size = 0


def other_rate(plain: PlainStep) -> None:
    plain.adam_d.lr *= 1 + 1e-6


def never_zeroed(plain: PlainStep) -> None:
    plain.adam_d.zero_grad = lambda: None


@pytest.mark.parametrize("change", [other_pool, other_rate, never_zeroed])
def test_the_comparison_would_notice(change):
    assert furthest_apart(change) > BOUND


def test_both_use_the_same_optimiser():
    assert PlainStep.__init__.__globals__["Adam"] is Adam
