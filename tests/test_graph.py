"""A training step as a graph: nothing but launches over fixed memory, so that repeating them is training."""

from __future__ import annotations

from collections import Counter
from unittest import mock

import numpy as np
import pytest

from benchmarks.recording import Step, _watched
from kernels.device import get_device
from kernels.graph import Control, Graph, joined
from kernels.launch import hooks, recorded
from tests.test_training_step import flat, images
from train.config import Config
from train.cyclegan import CycleGAN
from train.errors import NonFiniteLoss
from train.graphed import GraphedStep

CONFIG = Config(
    ngf=2, ndf=2, n_blocks=1, netD="n_layers", n_layers_D=1, load_size=16, crop_size=16, pool_size=2, seed=1,
    device="interpret", precision="fp32",
)  # fmt: skip
STEPS = 5  # one as usual, the graph's first, and three replays; by then both pools have swapped


def batches(config: Config, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(a.astype(np.float32), b.astype(np.float32)) for a, b in images(config, count)]


def train(config: Config, graphed: bool, steps: int = STEPS, model_class: type[CycleGAN] = CycleGAN) -> list:
    """Losses of every step and the state after the last; the learning rate differs from step to step."""
    model, losses = model_class(config), []
    model.graphed = GraphedStep(model, warm=1) if graphed else None
    for step, (a, b) in enumerate(batches(config, steps)):
        model.set_lr(0.002 / (1 + step))
        losses.append(model.step(a, b))
    return [losses, flat(model.state_dict())]


def strays(config: Config) -> Step:
    """What a captured step does besides its launches."""
    model, step = CycleGAN(config), Step()
    model.graphed = GraphedStep(model, warm=1)
    ((a, b),) = batches(config, 1)
    with recorded(run=False):
        model.play(model.tensor(a), model.tensor(b))  # nothing runs: losses are looked at, and must be numbers
    model.graphed.sizes = (a.shape, b.shape)
    with _watched(step), mock.patch.object(hooks, "run", False):
        model.graphed.capture()
    return step


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"precision": "bf16"},
        {"gan_mode": "hinge", "lambda_identity": 0.0, "batch_size": 2, "pool_size": 3},
    ],
    ids=["lsgan", "bf16", "hinge, batch 2, no identity"],
)
def test_replays_train_as_usual_steps_do_bit_for_bit(change):
    config = CONFIG.replace(**change)
    steps = STEPS if not change else 4
    eager, replayed = train(config, False, steps), train(config, True, steps)
    assert replayed == eager
    assert len({losses["cycle_A"] for losses in eager[0]}) == steps
