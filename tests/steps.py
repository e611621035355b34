"""One training step of a system on two devices."""

from __future__ import annotations

import numpy as np
import pytest

from train.models.model import Model


def step_alike(there: Model, here: Model, *pictures: np.ndarray, least: float) -> None:
    """Asserts that one step on these pictures gives both models the same losses and the same gradients.

    `least`: what the largest first moment of each player must exceed, so that zeros are not taken for agreement.
    """
    assert there.step(*pictures) == pytest.approx(here.step(*pictures), rel=1e-4, abs=1e-4)
    for player, optimizer in there.optimizers.items():  # after one step the first moments are half the gradients
        twins = here.optimizers[player].m
        largest = max(np.abs(moment).max() for moment in twins)
        assert largest > least and len(twins) == len(optimizer.m)
        for mine, wanted in zip(optimizer.m, twins, strict=True):
            assert np.abs(mine - wanted).max() <= 1e-3 * largest, player
