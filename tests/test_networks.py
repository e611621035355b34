"""The networks against torch: pictures, every gradient, and weights that travel in both directions."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn as torch_nn

from autograd import Tensor
from kernels.device import to_host
from nn import PatchDiscriminator, PixelDiscriminator, ResnetGenerator, UnetGenerator
from nn.layers import ConvNormRelu
from tests.torch_reference import (
    TorchPatchDiscriminator,
    TorchPixelDiscriminator,
    TorchResnetGenerator,
    TorchUnetGenerator,
    load_numpy_state,
    to_numpy,
    to_torch,
)

# name -> (ours, torch's, settings common to both, shape of the pictures)
NETWORKS: dict[str, Any] = {
    "resnet-deconv": (ResnetGenerator, TorchResnetGenerator,
                      dict(in_channels=3, out_channels=2, ngf=5, n_blocks=2), (2, 12, 20, 3)),
    "resnet-nearest": (ResnetGenerator, TorchResnetGenerator,
                       dict(in_channels=1, out_channels=3, ngf=3, n_blocks=1, upsample="nearest"), (2, 16, 8, 1)),
    "resnet-bilinear": (ResnetGenerator, TorchResnetGenerator,
                        dict(in_channels=2, out_channels=1, ngf=4, n_blocks=1, upsample="bilinear"), (2, 8, 12, 2)),
    "resnet-odd": (ResnetGenerator, TorchResnetGenerator,
                   dict(in_channels=3, out_channels=3, ngf=4, n_blocks=1), (1, 13, 18, 3)),
    "patch-1": (PatchDiscriminator, TorchPatchDiscriminator, dict(in_channels=3, ndf=5, n_layers=1), (2, 13, 10, 3)),
    "patch-2": (PatchDiscriminator, TorchPatchDiscriminator, dict(in_channels=1, ndf=3, n_layers=2), (2, 17, 23, 1)),
    "patch-3": (PatchDiscriminator, TorchPatchDiscriminator, dict(in_channels=3, ndf=4, n_layers=3), (2, 33, 38, 3)),
    "patch-4": (PatchDiscriminator, TorchPatchDiscriminator, dict(in_channels=2, ndf=2, n_layers=4), (1, 64, 51, 2)),
    "pixel": (PixelDiscriminator, TorchPixelDiscriminator, dict(in_channels=3, ndf=5), (2, 7, 9, 3)),
    "unet-5": (UnetGenerator, TorchUnetGenerator,
               dict(in_channels=3, out_channels=2, num_downs=5, ngf=3), (2, 64, 32, 3)),
    "unet-6": (UnetGenerator, TorchUnetGenerator,
               dict(in_channels=1, out_channels=3, num_downs=6, ngf=2), (1, 64, 128, 1)),
}  # fmt: skip


def pictures(shape, seed=0, dtype="float64"):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


def random_state(network, seed=0):
    """Weights large enough that every layer matters, and biases that are not 0; in PyTorch's layouts."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, value in network.state_dict().items():
        spread = 0.3 if name.endswith("bias") else (1 / np.sqrt(np.prod(value.shape[1:])))
        state[name] = rng.standard_normal(value.shape) * spread
    return state


def both(name, device="cpu"):
    """Ours and torch's of one architecture, in float64, with the same random weights; and pictures."""
    ours_class, torch_class, settings, shape = NETWORKS[name]
    ours = ours_class(**settings, device=device)
    theirs = torch_class(**settings).double()
    load_numpy_state(theirs, random_state(ours))
    ours.astype("float64").load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return ours, theirs, pictures(shape)


def torch_run(network, x, upstream):
    """Output, input gradient [N,H,W,C] and parameter gradients by key, of a torch network."""
    leaf = to_torch(x).requires_grad_()
    y = network(leaf)
    y.backward(to_torch(upstream.astype(x.dtype)))
    return to_numpy(y), to_numpy(leaf.grad), {name: p.grad.numpy() for name, p in network.named_parameters()}


def our_run(network, x, upstream):
    """The same of one of ours; keys without a gradient are left out."""
    leaf = Tensor(x, requires_grad=True, device=network.device)
    y = network(leaf)
    y.backward(upstream.astype(x.dtype))
    grads = {n: to_host(p.grad).transpose(p.torch_axes) for n, p in network.named_parameters() if p.grad is not None}
    return y.numpy(), to_host(leaf.grad), grads


def upstream_for(network, x):
    with torch.no_grad():
        shape = to_numpy(network(to_torch(x))).shape
    return np.random.default_rng(9).standard_normal(shape) + 0.1


@pytest.mark.parametrize("name", NETWORKS)
def test_output_and_every_gradient(name):
    ours, theirs, x = both(name)
    upstream = upstream_for(theirs, x)
    y, dx, grads = our_run(ours, x, upstream)
    ty, tdx, tgrads = torch_run(theirs, x, upstream)

    np.testing.assert_allclose(y, ty, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(dx, tdx, rtol=1e-9, atol=1e-10 * abs(tdx).max())
    largest = max(abs(g).max() for g in tgrads.values())
    dead = {key for key, p in ours.named_parameters() if not p.trained}
    assert tgrads.keys() == grads.keys() | dead and not grads.keys() & dead
    for key, expected in tgrads.items():
        if key in dead:  # a bias ahead of an instance norm: rounding noise
            assert abs(expected).max() < 1e-11 * largest
        else:
            assert abs(expected).max() > 1e-6 * largest, f"{key} plays no part"
            np.testing.assert_allclose(grads[key], expected, rtol=1e-8, atol=1e-10 * abs(expected).max(), err_msg=key)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_travel_both_ways(name):
    ours_class, torch_class, settings, shape = NETWORKS[name]
    ours, theirs, x = ours_class(**settings, seed=3), torch_class(**settings), pictures(shape, dtype="float32")
    state = ours.state_dict()
    load_numpy_state(theirs, state)  # ours -> torch
    assert list(state) == list(theirs.state_dict())
    with torch.no_grad():
        np.testing.assert_allclose(ours(Tensor(x)).numpy(), to_numpy(theirs(to_torch(x))), rtol=1e-4, atol=2e-5)
    torch.manual_seed(1)
    fresh = torch_class(**settings)
    ours.load_state_dict({key: value.numpy() for key, value in fresh.state_dict().items()})  # torch -> ours
    with torch.no_grad():
        np.testing.assert_allclose(ours(Tensor(x)).numpy(), to_numpy(fresh(to_torch(x))), rtol=1e-4, atol=2e-5)
    for key, value in ours.state_dict().items():
        np.testing.assert_array_equal(value, fresh.state_dict()[key].numpy())


def test_state_is_a_copy_in_both_directions():
    network = PixelDiscriminator(ndf=2)
    state = network.state_dict()
    before = copy.deepcopy(state)
    for value in state.values():
        value[:] = 7
    for key, value in network.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    network.load_state_dict(state)
    for value in state.values():
        value[:] = 8
    assert all((value == 7).all() for value in network.state_dict().values())


@pytest.mark.parametrize("name", ["resnet-deconv", "resnet-bilinear", "patch-3", "pixel", "unet-5"])
def test_float32_errs_no_more_than_torch_in_float32(name, device):
    """Against torch in float64; both walk dozens of layers, so errors are compared over whole arrays."""
    ours, theirs, x = both(name, device)
    upstream = upstream_for(theirs, x)
    truth = torch_run(theirs, x, upstream)
    small = x.astype("float32")
    result = our_run(ours.astype("float32"), small, upstream)
    peer = torch_run(theirs.float(), small, upstream)

    def error(a, b):
        return float(np.sqrt(((a - b) ** 2).sum() / (b**2).sum()))

    assert result[0].dtype == result[1].dtype == "float32"
    for mine, other, exact in zip(result[:2], peer[:2], truth[:2], strict=True):
        assert error(mine, exact) <= 20 * error(other, exact) + 1e-7
    keys = result[2].keys()
    assert all(result[2][key].dtype == "float32" for key in keys)
    mine, other, exact = (np.concatenate([r[2][key].ravel() for key in keys]) for r in (result, peer, truth))
    assert error(mine, exact) <= 20 * error(other, exact) + 1e-7


HARD = {"large mean": lambda x: 100 + x, "flat": lambda x: 0 * x + 0.3, "almost flat": lambda x: 0.3 + 1e-4 * x}


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("name", ["resnet-deconv", "patch-3", "unet-5"])
def test_hard_pictures_stay_finite(name, kind):
    """Pictures far from 0 or without contrast: where a variance from E[x^2] - E[x]^2 gives NaN."""
    ours, theirs, x = both(name)
    x = HARD[kind](x).astype("float32")
    y, dx, grads = our_run(ours.astype("float32"), x, upstream_for(theirs, x.astype("float64")))
    assert all(np.isfinite(a).all() for a in (y, dx, *grads.values()))


@pytest.mark.parametrize("kind", HARD)
def test_hard_pictures_through_a_convolution_and_a_norm_are_accurate(kind):
    """One layer only: each further norm multiplies the rounding errors of a flat picture by 1 / sqrt(eps) = 316."""
    x = HARD[kind](np.random.default_rng(1).standard_normal((2, 16, 16, 3))).astype("float32")
    layer, upstream = ConvNormRelu(3, 8, 3, padding=1, padding_mode="reflect"), np.ones((2, 16, 16, 8))
    layer.weight.from_torch(random_state(layer)["weight"])
    theirs = torch_nn.Sequential(
        torch_nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), torch_nn.InstanceNorm2d(8)
    )
    load_numpy_state(theirs, {f"0.{key}": value for key, value in layer.state_dict().items()})
    exact = torch_run(theirs.append(torch_nn.ReLU()).double(), x.astype("float64"), upstream)[0]
    # Float32 rounds sums of 27 products of this size to some 1e-6 of it; the norm divides that by the contrast.
    size, contrast = {"large mean": (100, 1), "flat": (0.3, 10**-2.5), "almost flat": (0.3, 10**-2.5)}[kind]
    np.testing.assert_allclose(layer(Tensor(x)).data, exact, rtol=0, atol=1e-6 * size / contrast)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_wants_its_channels(name):
    ours_class, _, settings, shape = NETWORKS[name]
    network = ours_class(**settings)
    for wrong in (np.zeros((*shape[:3], shape[3] + 1), "float32"), np.zeros(shape[1:], "float32")):
        with pytest.raises(ValueError, match=rf"{ours_class.__name__}: x has shape .* wanted \[N,H,W,{shape[3]}\]"):
            network(Tensor(wrong))


def test_sizes_that_cannot_be_are_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"UnetGenerator: a picture of 48x64 .* multiples of 32"):
        UnetGenerator(num_downs=5, ngf=1)(Tensor(np.zeros((1, 48, 64, 3), "float32")))
    with pytest.raises(ValueError, match="num_downs is 4, wanted at least 5"):
        UnetGenerator(num_downs=4)
    with pytest.raises(ValueError, match="unknown upsample 'cubic'; wanted deconv, nearest or bilinear"):
        ResnetGenerator(ngf=1, n_blocks=1, upsample="cubic")
    with pytest.raises(ValueError, match="conv2d: a picture of 3x8"):
        ResnetGenerator(ngf=1, n_blocks=1)(Tensor(np.zeros((1, 3, 8, 3), "float32")))
    with pytest.raises(ValueError, match=r"conv2d: a picture of 1x1 .* use larger images or fewer strided layers"):
        PatchDiscriminator(ndf=1)(Tensor(np.zeros((1, 8, 8, 3), "float32")))


def test_torch_nets_are_what_they_are_compared_as():
    """A control: one weight apart, and the comparison above sees it."""
    ours, theirs, x = both("patch-2")
    assert isinstance(theirs, torch_nn.Module)
    state = ours.state_dict()
    state["model.5.weight"][1, 2, 3, 0] += 1e-6
    ours.load_state_dict(state)
    upstream = upstream_for(theirs, x)
    assert abs(our_run(ours, x, upstream)[0] - torch_run(theirs, x, upstream)[0]).max() > 1e-9
