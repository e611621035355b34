"""Whole training steps through the Triton kernels, run by Triton's interpreter: every line of the GPU path, anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_training_step import LOSS32, images, torchs, worst_loss
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.models.cyclegan import NAMES
from train.run.schedule import Schedule

# Both players, a pool that swaps, Adam, and an epoch's end between steps. Small: the interpreter is slow.
CONFIG = Config(
    ngf=3, ndf=3, n_blocks=1, netD="n_layers", n_layers_D=1, load_size=16, crop_size=16, pool_size=1, init_gain=0.1,
    n_epochs=1, n_epochs_decay=1, seed=3, device="interpret", precision="fp32",
)  # fmt: skip
STEPS = 2


def train(model: CycleGAN, config: Config) -> list[dict[str, float]]:
    """Losses of a few steps, one to an epoch, so that the learning rate falls."""
    schedule, losses = Schedule(config), []
    for a, b in images(config, STEPS)[: config.epochs]:
        model.set_lr(schedule.lr)
        losses.append(model.step(a.astype("float32"), b.astype("float32")))
        schedule.end_epoch(0.0)
    return losses


def test_the_interpreter_and_the_cpu_train_alike() -> None:
    there, here = CycleGAN(CONFIG), CycleGAN(CONFIG.replace(device="cpu"))
    for mine, wanted in zip(train(there, CONFIG), train(here, CONFIG), strict=True):
        for name in NAMES:
            assert mine[name] == pytest.approx(wanted[name], rel=LOSS32 / 10, abs=LOSS32 / 10)
    for name, network in there.networks().items():
        twin = here.networks()[name].state_dict()
        for key, value in network.state_dict().items():
            # Adam moves a weight whose gradient is rounding noise by its whole step, either way.
            assert np.abs(value - twin[key]).max() <= 2 * STEPS * CONFIG.lr, f"{name}.{key}"
            assert np.abs(value - twin[key]).mean() <= 0.05 * CONFIG.lr, f"{name}.{key}"


def test_the_interpreter_trains_beside_torch_in_float64() -> None:
    model = CycleGAN(CONFIG)
    assert worst_loss(model, torchs(CONFIG, model), images(CONFIG, STEPS)) <= LOSS32


def test_bfloat16_activations_train_alike_over_float32_weights() -> None:
    there, here = CycleGAN(CONFIG.replace(precision="bf16")), CycleGAN(CONFIG.replace(device="cpu"))
    before = there.gen_ab.state_dict()["model.1.weight"]
    for mine, wanted in zip(train(there, CONFIG), train(here, CONFIG), strict=True):
        for name in NAMES:  # bfloat16 keeps 8 bits: 0.4 % of each of a dozen layers' values
            assert mine[name] == pytest.approx(wanted[name], rel=0.05, abs=0.05)
    after = there.gen_ab.state_dict()["model.1.weight"]
    assert after.dtype == np.float32 and there.pool_a.images[0].dtype.name == "bfloat16"
    moved = np.abs(after - before)
    assert 0 < moved.max() < 2e-3  # steps that bfloat16 weights could not hold: 0.1 * 2**-8 is 4e-4


def test_bfloat16_needs_a_gpus_kernels() -> None:
    with pytest.raises(ValueError, match="bf16 needs --device cuda"):
        CycleGAN(CONFIG.replace(device="cpu", precision="bf16"))
