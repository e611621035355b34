"""Whole training steps through the Triton kernels, run by Triton's interpreter: every line of the GPU path, anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from tests.test_training_step import LOSS32, images, torchs
from tests.torch_reference import to_torch
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.models.cyclegan import NAMES
from train.run.schedule import Schedule

# Both players, a pool that swaps, Adam, and an epoch's end between steps. Small: the interpreter is slow.
CONFIG = Config(
    ngf=3, ndf=3, n_blocks=1, netD="n_layers", n_layers_D=1, load_size=12, crop_size=12, pool_size=1, init_gain=0.1,
    n_epochs=1, n_epochs_decay=1, seed=3, device="interpret", precision="fp32",
)  # fmt: skip
STEPS = 2


def test_the_interpreter_trains_like_the_cpu_and_like_torch_in_float64() -> None:
    """Two steps, one to an epoch, so that the learning rate falls."""
    there, here = CycleGAN(CONFIG), CycleGAN(CONFIG.replace(device="cpu"))
    truth, schedule = torchs(CONFIG, here), Schedule(CONFIG)
    for a, b in images(CONFIG, STEPS):
        for model in (there, here):
            model.set_lr(schedule.lr)
        for optimizer in (truth.opt_g, truth.opt_d):
            optimizer.param_groups[0]["lr"] = schedule.lr
        schedule.end_epoch(0.0)
        a, b = a.astype(np.float32), b.astype(np.float32)
        losses, wanted = there.step(a, b), here.step(a, b)
        exact = truth.step(to_torch(a.astype(np.float64)), to_torch(b.astype(np.float64)))
        for name in NAMES:
            assert losses[name] == pytest.approx(wanted[name], rel=LOSS32, abs=LOSS32)
            assert losses[name] == pytest.approx(exact[name], rel=LOSS32, abs=LOSS32)
    for name, network in there.networks().items():
        twin = here.networks()[name].state_dict()
        for key, value in network.state_dict().items():
            # Adam moves a weight whose gradient is rounding noise by its whole step, either way.
            assert np.abs(value - twin[key]).max() <= 2 * STEPS * CONFIG.lr, f"{name}.{key}"
            assert np.abs(value - twin[key]).mean() <= 0.05 * CONFIG.lr, f"{name}.{key}"


def test_bfloat16_activations_train_alike_over_float32_weights() -> None:
    there, here = CycleGAN(CONFIG.replace(precision="bf16")), CycleGAN(CONFIG.replace(device="cpu"))
    before = there.gen_ab.state_dict()["model.1.weight"]
    a, b = (x.astype(np.float32) for x in images(CONFIG, 1)[0])
    # 8 digits are 0.4 % of each of a dozen layers' values; an L1's sign and a ReLU's side then turn some gradients over.
    assert there.step(a, b) == pytest.approx(here.step(a, b), rel=0.02, abs=0.02)
    for player, least in (("g", 0.6), ("d", 0.99)):
        mine, wanted = (np.concatenate([m.ravel() for m in model.optimizers[player].m]) for model in (there, here))
        assert mine @ wanted > least * np.linalg.norm(mine) * np.linalg.norm(wanted) > 0, player
        assert 0.5 < np.linalg.norm(mine) / np.linalg.norm(wanted) < 2, player
    after = there.gen_ab.state_dict()["model.1.weight"]
    assert after.dtype == np.float32 and there.pool_a.images[0].dtype.name == "bfloat16"
    moved = np.abs(after - before)
    assert 0 < moved.max() < 1e-3  # a step that bfloat16 weights could not hold: 0.1 * 2**-8 is 4e-4


def test_bfloat16_needs_a_gpus_kernels() -> None:
    with pytest.raises(ValueError, match="bf16 needs --device cuda"):
        CycleGAN(CONFIG.replace(device="cpu", precision="bf16"))
