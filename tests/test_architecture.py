"""Networks from weights alone: each kind, each legacy variant, with the outputs torch gives; and clear refusals."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autograd import Tensor, no_grad
from tests import torch_field as elsewhere
from tests import torch_reference as reference
from tests.torch_reference import (
    TorchPatchDiscriminator,
    TorchPixelDiscriminator,
    TorchResnetGenerator,
    TorchUnetGenerator,
)
from train.weights.architecture import architecture_of, describe, network_from

RNG = np.random.default_rng(0)
State = dict[str, np.ndarray]


def state_of(network: nn.Module) -> State:
    return {key: value.detach().numpy() for key, value in network.state_dict().items()}


def same_outputs(torchs: nn.Module, state: State, channels: int = 3, side: int = 32, **settings: Any) -> None:
    network = network_from(state, **settings)
    x = RNG.standard_normal((2, side, side, channels)).astype(np.float32) * 0.5 + 0.2
    with no_grad(), torch.no_grad():
        ours, theirs = network(Tensor(x)).numpy(), reference.to_numpy(torchs(reference.to_torch(x)))
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def randomly(network: nn.Module) -> nn.Module:
    """With weights large enough that a mistake shows."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.1, 0.3 / max(1, parameter.ndim - 1))
    return network


KINDS = {
    "resnet": (lambda: TorchResnetGenerator(3, 3, 4, 2), 32, {}),
    "channels": (lambda: TorchResnetGenerator(3, 3, 6, 3), 32, {}),
    "nearest": (lambda: TorchResnetGenerator(3, 3, 4, 1, "nearest"), 32, {"upsample": "nearest"}),
    "bilinear": (lambda: TorchResnetGenerator(3, 3, 4, 1, "bilinear"), 32, {"upsample": "bilinear"}),
    "unet": (lambda: TorchUnetGenerator(3, 3, 5, 2), 32, {}),
    "patch": (lambda: TorchPatchDiscriminator(3, 4, 3), 32, {}),
    "n_layers": (lambda: TorchPatchDiscriminator(3, 4, 1), 32, {}),
    "pixel": (lambda: TorchPixelDiscriminator(3, 4), 32, {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_network_is_known_by_its_weights(kind):
    make, side, settings = KINDS[kind]
    torchs = randomly(make())
    state = state_of(torchs)
    same_outputs(torchs, state, side=side, **settings)
    network = network_from(dict(reversed(state.items())), **settings)  # a file may be sorted otherwise
    assert list(network.state_dict()) == list(state)  # and still the reference implementation's order
    assert describe(network).build().state_dict().keys() == state.keys()


def test_channels_are_those_of_the_weights():
    torchs = randomly(TorchResnetGenerator(1, 4, 4, 1))
    same_outputs(torchs, state_of(torchs), channels=1)


def wrapped(state: State) -> State:
    return {f"module._orig_mod.{key}": value for key, value in state.items()}


def with_statistics(state: State) -> State:
    """As PyTorch 0.3 kept them: under each norm's index, with no effect."""
    found = dict(state)
    for key, value in state.items():
        index = int(key.split(".")[1])
        if key.endswith("bias") and ".conv_block." not in key and index != max(int(k.split(".")[1]) for k in state):
            found |= {f"model.{index + 1}.{s}": RNG.random(value.shape) for s in ("running_mean", "running_var")}
            found[f"model.{index + 1}.num_batches_tracked"] = np.array(3)
    return found


def trivially_affine(state: State) -> State:
    return {**state, "model.2.weight": np.ones(4, np.float32), "model.2.bias": np.zeros(4, np.float32)}


def with_dropout(state: State) -> State:
    return {key.replace("conv_block.5", "conv_block.6"): value for key, value in state.items()}


def half(state: State) -> State:
    return {key: value.astype(np.float16) for key, value in state.items()}


@pytest.mark.parametrize("legacy", [wrapped, with_statistics, trivially_affine, with_dropout, half])
def test_legacy_variants_give_the_same_picture(legacy):
    torchs = randomly(TorchResnetGenerator(3, 3, 4, 2))
    if legacy is half:
        torchs.load_state_dict({key: value.half().float() for key, value in torchs.state_dict().items()})
    state = legacy(state_of(torchs))
    same_outputs(torchs, state)
    assert list(network_from(state).state_dict()) == list(torchs.state_dict())


@pytest.mark.parametrize("make", [KINDS["resnet"][0], KINDS["nearest"][0], KINDS["patch"][0]])
def test_norms_that_scale_and_shift_are_honoured(monkeypatch, make):
    monkeypatch.setattr(reference, "_norm", lambda channels: nn.InstanceNorm2d(channels, affine=True))
    torchs = randomly(make())
    state = state_of(torchs)
    same_outputs(torchs, state)
    network = network_from(state)
    assert list(network.state_dict()) == list(state) and "affine" in str(describe(network))


def test_resizing_layers_with_indices_of_their_own():
    """As issue 190 of the reference implementation advises: Upsample, ReflectionPad2d, Conv2d in the Sequential itself."""
    torchs = randomly(TorchResnetGenerator(3, 3, 4, 1, "bilinear"))
    shift = {"model.11": "model.13", "model.14": "model.18", "model.18": "model.22"}
    state = {re.sub(r"model\.1[148](?!\d)", lambda m: shift[m[0]], key): v for key, v in state_of(torchs).items()}
    assert "model.22.weight" in state
    same_outputs(torchs, state, upsample="bilinear")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {k: v for k, v in s.items() if not k.endswith("bias")}, "no norm is stored.*--norm none"),
        (lambda s: {**s, "model.3.weight": np.ones(4, "f4")}, "does not follow a convolution at once"),
        (lambda s: {k.replace("model.4", "model.5"): v for k, v in s.items()}, "model.5.*cannot be told how they pad"),
        (lambda s: {k.replace("conv_block.1", "conv_block.2"): v for k, v in s.items()}, "cannot be told how they pad"),
        (lambda s: {k: v for k, v in s.items() if "conv_block.5" not in k}, "in them"),
        (lambda s: {k: v for k, v in s.items() if "model.15" not in k}, "5 convolutions outside"),
        (lambda s: {}, "empty"),
        (lambda s: {**s, "model.2.attention": np.ones(4)}, "no layer of CycleGAN"),
        (lambda s: {"a.weight": np.ones((4, 3, 5, 5)), "b.weight": np.ones((4, 4, 3, 3)), "c.weight": np.ones((1, 4, 1, 1))}, "5x5"),
        (lambda s: {**s, "epoch": 3}, "epoch is a int"),
        (lambda s: {**s, "model.10.conv_block.1.weight": np.ones((16, 8, 3, 3))}, r"shape \(16, 8, 3, 3\), wanted"),
    ],
)  # fmt: skip
def test_what_is_no_network_of_ours_is_told(change, said):
    state = state_of(TorchResnetGenerator(3, 3, 4, 2))
    with pytest.raises(ValueError, match=said):
        network_from(change(state))


def in_2017(state: State) -> State:
    """With the running statistics that PyTorch 0.3 kept beside a norm's parameters."""
    found = dict(state)
    for key, value in state.items():
        if key.endswith("weight") and value.ndim == 1:
            found |= {key.replace("weight", s): RNG.random(value.shape, "f4") for s in ("running_mean", "running_var")}
    return found


BATCH: dict[str, Any] = dict(norm=nn.BatchNorm2d, bias=False)
ELSEWHERE: dict[str, tuple[Any, dict[str, Any]]] = {
    "2017": (lambda: elsewhere.generator(ends="zeros", inner="zeros", norm=elsewhere.affine), {}),
    "2017, dropout": (lambda: elsewhere.generator(ends="zeros", inner="zeros", norm=elsewhere.affine, dropout=True), {}),
    "zeros in blocks": (lambda: elsewhere.generator(inner="zeros"), {}),
    "resized, reflected": (lambda: elsewhere.generator(up="reflect", mode="bilinear"), {"upsample": "bilinear"}),
    "resized, zeros": (lambda: elsewhere.generator(up="zeros", mode="bilinear"), {"upsample": "bilinear"}),
    "PyTorch-GAN": (lambda: elsewhere.generator(up="zeros", name="block", n_blocks=3), {}),
    "PyTorch-GAN's discriminator": (lambda: elsewhere.discriminator("strided"), {}),
    "one layer fewer of it": (lambda: elsewhere.discriminator("strided", n_layers=2), {}),
    "affine U-Net": (lambda: elsewhere.u_net(elsewhere.affine), {}),
    "batch norm": (lambda: elsewhere.generator(**BATCH), {}),
    "batch norm with biases": (lambda: elsewhere.generator(norm=nn.BatchNorm2d), {}),
    "pix2pix's default": (lambda: elsewhere.u_net(**BATCH), {}),
    "pix2pix's discriminator": (lambda: elsewhere.discriminator(**BATCH), {}),
}  # fmt: skip


def one_picture(torchs: nn.Module, state: State, side: int = 32, **settings: Any) -> np.ndarray:
    """How far our output is from torch's in training mode, for a picture of its own."""
    network = network_from(state, **settings)
    x = RNG.standard_normal((1, side, side + 32, 3)).astype(np.float32) * 0.5 + 0.2
    with no_grad(), torch.no_grad():
        ours, theirs = network(Tensor(x)).numpy(), reference.to_numpy(torchs.train()(reference.to_torch(x)))
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max()


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_files_of_other_code_and_other_years_give_their_pictures(kind):
    make, settings = ELSEWHERE[kind]
    torchs = randomly(make())
    state = state_of(torchs)
    assert one_picture(torchs, state, **settings) < 2e-5
    network = network_from(state, **settings)  # and it can be written, and read again
    assert describe(network).settings == describe(network_from(network.state_dict(), **settings)).settings
    assert one_picture(torchs, network.state_dict(), **settings) < 2e-5


def test_norms_of_2017_and_what_u_nets_joined_then():
    resnet, unet = elsewhere.generator(norm=elsewhere.affine), elsewhere.u_net(elsewhere.affine, early=True)
    for torchs, said in ((resnet, ["norms of 2017"]), (unet, ["norms of 2017", "a U-Net of 2017"])):
        state = in_2017(state_of(randomly(torchs)))
        assert one_picture(torchs, state) < 2e-5
        notes = architecture_of(state)[0].notes
        assert [note.startswith(start) for note, start in zip(notes, said, strict=True)] == [True] * len(said)


def test_what_weights_do_not_tell_is_said():
    state = state_of(elsewhere.generator(up="zeros"))
    (note,) = architecture_of(state)[0].notes
    assert "nearest or bilinear" in note and not architecture_of(state, "nearest")[0].notes
    (note,) = architecture_of(with_statistics(state_of(TorchResnetGenerator(3, 3, 4, 2))))[0].notes
    assert "kept running statistics" in note
    old = in_2017(state_of(randomly(elsewhere.discriminator(norm=elsewhere.affine))))
    assert "padded by 2" in architecture_of(old)[0].notes[-1]
    for bias in (False, True):
        (note,) = architecture_of(state_of(randomly(elsewhere.u_net(nn.BatchNorm2d, bias))))[0].notes
        assert "batch norm" in note and "eval()" in note
    assert not architecture_of(state_of(elsewhere.generator()))[0].notes


def test_half_of_what_is_padded_otherwise_is_refused():
    """No one pads so; and where nothing is known, no picture is better than a wrong one."""
    state = state_of(elsewhere.generator(ends="zeros", inner="zeros", norm=elsewhere.affine))
    last = max(int(key.split(".")[1]) for key in state)
    shifted = {key.replace(f"model.{last}.", f"model.{last + 1}."): value for key, value in state.items()}
    with pytest.raises(ValueError, match="cannot be told how they pad"):
        network_from(shifted)
    with pytest.raises(ValueError, match="patch discriminators have theirs at 0, 2, 5, 8 and 11"):
        network_from({k.replace("11", "14"): v for k, v in state_of(TorchPatchDiscriminator(3, 4, 3)).items()})
