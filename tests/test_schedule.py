"""Learning rates, epoch by epoch, against numbers worked out by hand."""

from __future__ import annotations

import json
import math

import pytest

from tests.torch_reference import linear_factor
from train.config.settings import Config
from train.run.schedule import Schedule


def rates(config: Config, metrics: list[float] | None = None) -> list[float]:
    """The rate of every epoch, relative to the first setting; metric 1 throughout unless given."""
    schedule, seen = Schedule(config), []
    for epoch in range(config.epochs):
        seen.append(schedule.lr / config.lr)
        schedule.end_epoch(metrics[epoch] if metrics else 1.0)
    return seen


def test_linear_as_published() -> None:
    """Epochs count from 1: full until epoch 100, 0.9901 in epoch 101, 0.0099 in epoch 200."""
    seen = rates(Config())
    assert len(seen) == 200 and seen[:100] == [1.0] * 100
    assert (round(seen[100], 4), round(seen[199], 4)) == (0.9901, 0.0099)
    assert seen == pytest.approx([linear_factor(k, 100, 100) for k in range(200)])


@pytest.mark.parametrize("full, decay, first", [(4, 4, 1), (0, 5, 1), (3, 0, 1), (1, 9, 1), (4, 4, 3), (4, 4, 7)])
def test_linear_elsewhere(full: int, decay: int, first: int) -> None:
    seen = rates(Config(n_epochs=full, n_epochs_decay=decay, epoch_count=first))
    assert len(seen) == full + decay - first + 1
    assert seen == pytest.approx([linear_factor(k, full, decay, first) for k in range(len(seen))])
    assert min(seen) > 0  # never an epoch in vain


def test_a_run_counted_from_a_later_epoch_has_the_rates_of_that_epoch() -> None:
    whole = rates(Config(n_epochs=4, n_epochs_decay=6))
    assert rates(Config(n_epochs=4, n_epochs_decay=6, epoch_count=6)) == pytest.approx(whole[5:])


def test_step() -> None:
    seen = rates(Config(lr_policy="step", lr_decay_iters=3, n_epochs=4, n_epochs_decay=4))
    assert seen == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_covers_the_whole_run() -> None:
    seen = rates(Config(lr_policy="cosine", n_epochs=2, n_epochs_decay=2))
    assert seen == pytest.approx([1, 0.5 + math.sqrt(0.5) / 2, 0.5, 0.5 - math.sqrt(0.5) / 2])


def test_plateau_waits_for_more_than_five_bad_epochs() -> None:
    config = Config(lr_policy="plateau", n_epochs=20, n_epochs_decay=0)
    assert rates(config, [1.0] * 20) == pytest.approx([1] * 7 + [0.2] * 6 + [0.04] * 6 + [0.008])
    assert rates(config, [0.98**k for k in range(20)]) == [1.0] * 20  # 2 % better each time
    slow = rates(config, [0.995**k for k in range(20)])  # better than 1 % every third epoch only: that resets the count
    assert slow == [1.0] * 20
    worse = [1.0] * 4 + [0.5] + [0.6] * 15
    assert rates(config, worse)[10:12] == [1.0, pytest.approx(0.2)]  # the best came in epoch 5, patience ends with 11


def test_plateau_counts_as_torch_does() -> None:
    import torch

    metrics = [1.0, 0.9, 0.95, 0.91, 0.9, 0.899, 0.9, 0.9, 0.85, *[0.9] * 8, 0.2, *[0.3] * 9]
    config = Config(lr_policy="plateau", n_epochs=len(metrics), n_epochs_decay=0, lr=1.0)
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.2, threshold=0.01, patience=5)
    wanted = []
    for metric in metrics:
        wanted.append(optimizer.param_groups[0]["lr"])
        theirs.step(metric)
    assert rates(config, metrics) == pytest.approx(wanted)
    assert len(set(wanted)) > 2


@pytest.mark.parametrize("policy", ["linear", "step", "plateau", "cosine"])
@pytest.mark.parametrize("stop", [0, 4, 9])
def test_a_saved_schedule_goes_on_exactly(policy: str, stop: int) -> None:
    config = Config(lr_policy=policy, n_epochs=8, n_epochs_decay=8, lr_decay_iters=3)
    first, second = Schedule(config), Schedule(config)
    for _ in range(stop):
        first.end_epoch(1.0)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for _ in range(stop, 15):
        first.end_epoch(1.0)
        second.end_epoch(1.0)
        assert first.lr == second.lr
    assert first.state_dict() == second.state_dict()
