"""Training steps of every system where `--device` says, and whether a step's graph repeats it to the bit.

`pytest --device cuda tests/test_ops.py tests/test_optim.py tests/test_graph.py tests/test_device*.py` is what to run on a
machine with a GPU: there at real sizes, six steps each. Elsewhere the same tests run in Triton's interpreter on networks as
small as they go, where a graph holds the array library's operations by tests/replayed_arrays.py.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

from kernels.device import Device, get_device
from kernels.gpu.launch import recorded
from tests.replayed_arrays import array_operations
from tests.steps import step_alike
from tests.test_training_step import flat
from train.config.settings import Config
from train.models.augmented_cyclegan import AugmentedConfig, AugmentedCycleGAN
from train.models.cyclegan import CycleGAN
from train.models.graphed_step import GraphedStep
from train.models.model import Model
from train.models.pix2pix import Pix2Pix, Pix2PixConfig
from train.models.stochastic_cyclegan import StochasticConfig, StochasticCycleGAN

TINY: dict[str, Any] = dict(
    ngf=1, ndf=1, n_blocks=1, netD="n_layers", n_layers_D=1, load_size=8, crop_size=8, pool_size=0
)
SMALL: dict[str, Any] = dict(ngf=16, ndf=16, n_blocks=2, load_size=64, crop_size=64)
CODES: dict[str, Any] = dict(ngf=1, ndf=1, ndf_A=1, n_down=2, nlatent=2, n_blocks=1, load_size=16, crop_size=16)
PLAYERS: dict[str, Any] = dict(n_critic=2, accumulate=2, sup_frac=0.5, diffaugment="color,translation,cutout", ema=0.9)

# name -> the class, its settings on a GPU and in the interpreter, pictures in a step, and whether there are known pairs.
SYSTEMS: dict[str, tuple[type[Model], Config, Config, int, bool]] = {
    "paper": (CycleGAN, Config(), Config(**TINY | dict(pool_size=1)), 1, False),
    "players": (CycleGAN, Config(**SMALL, **PLAYERS), Config(**TINY, **PLAYERS | dict(accumulate=1)), 2, True),
    "wgangp": (
        CycleGAN,
        Config(**SMALL, gan_mode="wgangp", accumulate=2),
        Config(**TINY, gan_mode="wgangp", lambda_identity=0.0),
        2,
        False,
    ),
    "pix2pix": (
        Pix2Pix,
        Pix2PixConfig(netG="unet_64", ngf=16, ndf=16, load_size=64, crop_size=64),
        Pix2PixConfig(**{k: v for k, v in TINY.items() if k != "pool_size"} | dict(netG="resnet")),
        1,
        False,
    ),
    "stochastic": (StochasticCycleGAN, StochasticConfig(), StochasticConfig(**CODES, max_gnorm=0.5), 2, False),
    "augmented": (
        AugmentedCycleGAN,
        AugmentedConfig(two_sided=True, stoch_enc=True, sup_frac=0.5),
        AugmentedConfig(**CODES, nef=1, two_sided=True, stoch_enc=True, sup_frac=0.5),
        2,
        True,
    ),
    "augmented, discriminators of codes": (
        AugmentedCycleGAN,
        AugmentedConfig(),
        AugmentedConfig(**CODES, nef=1),
        2,
        False,
    ),
}


def where(pytestconfig: pytest.Config) -> Device:
    """The device asked for, by default the interpreter."""
    device = get_device(pytestconfig.getoption("device") or "interpret")
    if device.name == "cpu":
        pytest.skip("a graph is a GPU's")
    return device


def made(name: str, device: Device, precision: str = "fp32") -> Model:
    """The system of that name on a device, at a real size if that is a GPU."""
    system, real, tiny, *_ = SYSTEMS[name]
    return system((real if device.name == "cuda" else tiny).replace(device=device.name, precision=precision, seed=3))


def pictures(name: str, model: Model, count: int) -> list[list[np.ndarray]]:
    """For so many steps: A and B, and a pair of them."""
    *_, images, pairs = SYSTEMS[name]
    c, rng = model.config, np.random.default_rng(0)
    images = max(images, c.images_per_step) if model.device.name == "cuda" else images
    shape = (images, c.crop_size, c.crop_size)
    sides = [c.input_nc, c.output_nc] * (1 + pairs)
    return [[rng.uniform(-1, 1, (*shape, channels)).astype(np.float32) for channels in sides] for _ in range(count)]


def trained(name: str, device: Device, precision: str, steps: int, warm: int | None) -> tuple[list, list, Model]:
    """Losses and the last state of a model, whose step becomes a graph after `warm` steps, or never."""
    model = made(name, device, precision)
    model.graphed = None if warm is None else GraphedStep(model, warm)
    losses = []
    for i, batch in enumerate(pictures(name, model, steps)):
        model.set_lr(model.config.lr / (1 + i))
        losses.append(model.step(*batch))
    return losses, flat(model.state_dict()), model


PRECISE = [
    *((name, "fp32") for name in SYSTEMS),
    *(("paper", precision) for precision in ("tf32", "bf16")),
    ("players", "bf16"), ("pix2pix", "bf16"), ("stochastic", "tf32"),
]  # fmt: skip


UNASKED = ("players", "augmented")  # what the others have is in these; the plain step is in test_graph.py


@pytest.mark.parametrize(("name", "precision"), PRECISE)
def test_a_graph_repeats_the_step_to_the_bit(name, precision, pytestconfig):
    device, asked = where(pytestconfig), pytestconfig.getoption("device")
    if device.name == "interpret" and (precision != "fp32" or not (asked or name in UNASKED)):
        pytest.skip("slow: asked for by --device interpret")
    steps, warm = (6, 2) if device.name == "cuda" else (3, 1) if name == "paper" else (2, 0)
    usual, state, _ = trained(name, device, precision, steps, None)
    with contextlib.nullcontext() if device.name == "cuda" else array_operations():
        replayed, replayed_state, model = trained(name, device, precision, steps, warm)
    assert model.graphed.graph is not None and model.graphed.graph.replays == steps - warm
    assert len({losses[model.metric[0]] for losses in usual}) == steps  # it does train
    assert replayed == usual and replayed_state == state


@pytest.mark.parametrize(
    ("name", "precision"),
    [*((name, "fp32") for name in SYSTEMS), *((name, "bf16") for name in ("paper", "players", "wgangp", "pix2pix"))],
)
def test_nothing_is_compiled_inside_a_capture(name, precision):
    """Each launch there has a kernel that the steps before have compiled: of equal types, settings and alignment."""
    model = made(name, get_device("interpret"), precision)
    model.graphed = GraphedStep(model, warm=2)
    first, second, third = pictures(name, model, 3)
    with recorded(run=False) as launches:
        model.step(*first), model.step(*second)
        compiled = {launch.key for launch in launches}
        launches.clear()
        model.step(*third)
    assert model.graphed.graph is not None and launches
    assert not {launch.key for launch in launches} - compiled


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "paper"])
def test_a_step_is_the_cpus(name, pytestconfig):
    """In single precision, on the same draws."""
    if pytestconfig.getoption("device") is None:
        pytest.skip("on the CPU and in the interpreter other tests see to it")
    device = where(pytestconfig)
    there = made(name, device)
    here = type(there)(there.config.replace(device="cpu"))
    step_alike(there, here, *pictures(name, there, 1)[0], least=1e-7)
