"""Gradient checkpointing: the same bits in less memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from autograd import Tensor
from autograd.checkpointing import checkpointed
from nn import ResnetGenerator
from nn.resnet_generator import ResnetBlock
from tests.test_training_step import images
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.errors import UserError

CONFIG = Config(
    ngf=4, ndf=4, n_blocks=2, netD="n_layers", n_layers_D=1, load_size=16, crop_size=16, init_gain=0.1, device="cpu"
)


def test_two_steps_are_the_same_to_the_last_bit() -> None:
    plain, saving = CycleGAN(CONFIG), CycleGAN(CONFIG.replace(checkpointing=True))
    for a, b in images(CONFIG, 2):
        wanted, losses = (model.step(a.astype("float32"), b.astype("float32")) for model in (plain, saving))
        assert losses == wanted
    for name, network in saving.networks().items():
        for key, value in network.state_dict().items():
            assert np.array_equal(value, plain.networks()[name].state_dict()[key]), f"{name}.{key}"


def test_a_frozen_block_passes_its_gradient_on_and_takes_none() -> None:
    rng = np.random.default_rng(0)
    block = ResnetBlock(4, checkpointing=True)
    for parameter in block.parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape)
    x, dy = (rng.standard_normal((1, 6, 5, 4)).astype("float32") for _ in range(2))
    gradients = []
    block.parameters()[0].requires_grad = False
    for forward in (block, block.transform):
        leaf = Tensor(x, requires_grad=True)
        block.zero_grad()
        forward(leaf).backward(dy)
        gradients.append([leaf.grad, *(p.grad for p in block.parameters())])
    assert gradients[0][1] is None
    for mine, wanted in zip(*gradients, strict=True):
        assert np.array_equal(mine, wanted)


def test_less_is_kept() -> None:
    kept = []
    for checkpointing in (False, True):
        generator = ResnetGenerator(ngf=8, n_blocks=6, checkpointing=checkpointing)
        x = Tensor(np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype("float32"))
        generator(x)  # buffers that are used again
        tracemalloc.start()
        y = generator(x)
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert y.requires_grad
    # In maps of 16x16x32 a block keeps one instead of four, and the layers around all six keep 26 either way.
    assert kept[1] / kept[0] == pytest.approx((26 + 6) / (26 + 24), rel=0.1)


def test_a_weight_changed_in_between_is_noticed() -> None:
    w = Tensor(np.ones(3), requires_grad=True)
    y = checkpointed(lambda x: x * w, Tensor(np.ones(3)), [w])
    w.data += 1
    w.changed()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward(np.ones(3))


def test_networks_without_blocks_are_refused() -> None:
    with pytest.raises(UserError, match="--netG unet_64 has none"):
        CONFIG.replace(netG="unet_64", checkpointing=True).check()
