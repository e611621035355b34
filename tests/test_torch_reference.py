"""The torch truth against things known without it: published counts and keys, layers written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.torch_reference import (
    TorchPatchDiscriminator,
    TorchPixelDiscriminator,
    TorchResnetGenerator,
    TorchUnetGenerator,
    load_numpy_state,
    to_numpy,
    to_torch,
)

META = torch.device("meta")  # shapes without memory: the full-size networks cost nothing


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def keys(*layers: str) -> list[str]:
    return [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


# Networks


def test_resnet_generator_has_the_published_size_and_keys():
    with META:
        nine, six = TorchResnetGenerator(), TorchResnetGenerator(n_blocks=6)
    blocks = [f"model.{i}.conv_block.{j}" for i in range(10, 19) for j in (1, 5)]
    assert list(nine.state_dict()) == keys("model.1", "model.4", "model.7", *blocks, "model.19", "model.22", "model.26")
    assert len(nine.state_dict()) == 48
    assert list(six.state_dict())[-6:] == keys("model.16", "model.19", "model.23")
    assert (count(nine), count(six)) == (11_378_179, 7_837_699)
    assert nine.state_dict()["model.19.weight"].shape == (256, 128, 3, 3)  # transposed conv: (in, out, kH, kW)


@pytest.mark.parametrize("upsample", ["nearest", "bilinear"])
def test_resize_conv_keeps_the_keys_and_the_picture_size(upsample):
    with META:
        deconv, resize = TorchResnetGenerator(), TorchResnetGenerator(upsample=upsample)
    assert list(resize.state_dict()) == list(deconv.state_dict())
    assert resize.state_dict()["model.19.weight"].shape == (128, 256, 3, 3)  # conv: (out, in, kH, kW)
    assert count(resize) == count(deconv)
    assert TorchResnetGenerator(2, 1, 2, 1, upsample)(torch.rand(1, 2, 12, 20)).shape == (1, 1, 12, 20)


def test_resize_conv_by_hand():
    x = torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]])
    rows = {"nearest": [0.0, 0.0, 4.0, 4.0], "bilinear": [0.0, 1.0, 3.0, 4.0]}  # bilinear samples at pixel centres
    for mode, row in rows.items():
        conv: Any = TorchResnetGenerator(1, 1, 1, 0, mode).model[10]  # 4 channels to 2
        conv.weight.data.zero_()
        conv.weight.data[0, 0, 1, 0], conv.bias.data[:] = 1.0, 0.5  # takes the left neighbour, adds a half
        expected = torch.tensor([row[1], *row[:3]]) + 0.5  # the edge is reflected
        assert torch.equal(conv(torch.cat([x] * 4, 1))[0, 0, 0], expected)


def test_residual_block_ends_with_the_sum():
    block: Any = TorchResnetGenerator(1, 1, 1, 1).model[10]
    for parameter in block.conv_block[5].parameters():
        parameter.data.zero_()
    x = torch.randn(1, 4, 6, 6)
    assert (x < 0).any() and torch.equal(block(x), x)


def test_patch_discriminator_has_the_published_size_keys_and_maps():
    with META:
        net = TorchPatchDiscriminator()
    x, sides = torch.zeros(1, 3, 256, 256), []
    for layer in TorchPatchDiscriminator(ndf=1).model:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            sides.append(x.shape[-1])
    assert sides == [128, 64, 32, 31, 30] and x.shape == (1, 1, 30, 30)
    assert list(net.state_dict()) == keys("model.0", "model.2", "model.5", "model.8", "model.11")
    assert [i for i, layer in enumerate(net.model) if isinstance(layer, nn.InstanceNorm2d)] == [3, 6, 9]
    assert count(net) == 2_764_737


def test_one_logit_of_the_patch_discriminator_sees_70_pixels():
    net = TorchPatchDiscriminator(1, 2).double()
    stack = nn.Sequential(*(m for m in net.model if not isinstance(m, nn.InstanceNorm2d)))  # the norm sees everything
    x = images(1, 1, 128, 128).requires_grad_()
    stack(x)[0, 0, 7, 7].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].abs().sum(0).nonzero()
    assert int(seen.max() - seen.min()) + 1 == 70


@pytest.mark.parametrize(("n_layers", "channels"), [(1, [8, 16, 1]), (5, [8, 16, 32, 64, 64, 64, 1])])
def test_patch_discriminator_of_other_depths(n_layers, channels):
    convs = [m for m in TorchPatchDiscriminator(3, 8, n_layers).model if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convs] == channels
    assert [c.stride[0] for c in convs] == [2] * n_layers + [1, 1]


def test_pixel_discriminator():
    net = TorchPixelDiscriminator()
    assert list(net.state_dict()) == keys("net.0", "net.2", "net.5")
    assert count(net) == (3 * 64 + 64) + (64 * 128 + 128) + (128 + 1)
    assert TorchPixelDiscriminator(2, 3)(torch.rand(1, 2, 5, 7)).shape == (1, 1, 5, 7)


@pytest.mark.parametrize(("num_downs", "size", "published"), [(7, 41_825_667, 41.829), (8, 54_409_603, 54.414)])
def test_unet_generator_size_by_formula(num_downs, size, published):
    """4x4 kernels down from 3 to 64 128 256 512 512 ..; back up, each stage but the innermost reads its skip too."""
    down, out = [64, 128, 256] + [512] * (num_downs - 3), [3, 64, 128, 256] + [512] * (num_downs - 4)
    weights = 16 * sum(cin * cout for cin, cout in zip([3, *down], down, strict=False))
    weights += 16 * sum(2 * cin * cout for cin, cout in zip(down, out, strict=True)) - 16 * 512 * 512
    with META:
        assert count(TorchUnetGenerator(num_downs=num_downs)) == weights + sum(down) + sum(out) == size
    # Published for batch norm, in millions: no biases but the last conv's, two numbers for each normed channel.
    normed = sum(down[1:-1]) + sum(out[1:])
    assert round((weights + 3 + 2 * normed) / 1e6, 3) == published


def test_unet_generator_forward_by_hand():
    net = TorchUnetGenerator(2, 1, num_downs=6, ngf=1).double()
    state = dict(net.state_dict())
    prefixes = ["model.model."] + ["model.model.1.model." + "3.model." * i for i in range(5)]
    downs = [prefixes[0] + "0", *(p + "1" for p in prefixes[1:])]
    ups = [prefixes[0] + "3", *(p + "5" for p in prefixes[1:-1]), prefixes[-1] + "3"]
    assert set(state) == set(keys(*downs, *ups)) and len(state) == 24

    x = images(1, 2, 64, 128)
    skips, h = [], x
    for i, layer in enumerate(downs):
        h = F.conv2d(h, state[layer + ".weight"], state[layer + ".bias"], stride=2, padding=1)
        if 0 < i < 5:
            h = F.instance_norm(h)
        skips.append(h)
        h = F.leaky_relu(h, 0.2, inplace=i < 5)  # in place, as in the reference implementation: the skip sees it too
    h = skips.pop()
    for i in reversed(range(6)):
        h = F.conv_transpose2d(F.relu(h), state[ups[i] + ".weight"], state[ups[i] + ".bias"], stride=2, padding=1)
        if i > 0:
            h = torch.cat([skips.pop(), F.instance_norm(h)], 1)
    assert h.shape == (1, 1, 64, 128)
    torch.testing.assert_close(net(x), h.tanh(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [lambda: TorchResnetGenerator(3, 3, 2, 1), lambda: TorchUnetGenerator(3, 3, 5, 1)])
def test_a_batch_is_the_same_as_one_image_at_a_time(make):
    """Instance norm keeps images apart, so the identity pass may share a batch with the translation."""
    net = make().double()
    a, b, weight = images(1, 3, 32, 32), images(1, 3, 32, 32, seed=1), images(2, 3, 32, 32, seed=2)
    apart, together = torch.cat([net(a), net(b)]), net(torch.cat([a, b]))
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    params = list(net.parameters())
    for one, two in zip(*(torch.autograd.grad((y * weight).sum(), params) for y in (together, apart)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


# Exchange


def test_arrays_and_weights_travel_both_ways():
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 4, 3)
    t = to_torch(x)
    assert t.shape == (1, 3, 2, 4) and t[0, 2, 1, 3] == x[0, 1, 3, 2]
    np.testing.assert_array_equal(to_numpy(t), x)
    source, target = TorchPixelDiscriminator(3, 2), TorchPixelDiscriminator(3, 2).double()
    state = {k: v.numpy().copy() for k, v in source.state_dict().items()}
    load_numpy_state(target, state)
    assert all(np.array_equal(v.numpy(), state[k]) for k, v in target.state_dict().items())
    for bad in ({**state, "more": x}, dict(list(state.items())[1:]), {**state, "net.0.bias": x}):
        with pytest.raises(RuntimeError):
            load_numpy_state(target, bad)
