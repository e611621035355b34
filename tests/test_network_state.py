"""What a network is before it sees a picture: its size, its keys, its first weights, its summary; and what it refuses to load."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nn import PatchDiscriminator, PixelDiscriminator, ResnetGenerator, UnetGenerator
from nn.init import METHODS, initialise
from nn.module import observed
from tests.torch_reference import TorchPatchDiscriminator, TorchResnetGenerator, TorchUnetGenerator


def count(network):
    return sum(p.size for _, p in network.named_parameters())


def keys(*layers):
    return [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


def test_published_sizes_and_keys():
    nine, six = ResnetGenerator(), ResnetGenerator(n_blocks=6)
    blocks = [f"model.{i}.conv_block.{j}" for i in range(10, 19) for j in (1, 5)]
    state = nine.state_dict()
    assert list(state) == keys("model.1", "model.4", "model.7", *blocks, "model.19", "model.22", "model.26")
    assert len(state) == 48 and state["model.19.weight"].shape == (256, 128, 3, 3)  # transposed: (in, out, kH, kW)
    assert list(six.state_dict())[-6:] == keys("model.16", "model.19", "model.23")
    assert (count(nine), count(six)) == (11_378_179, 7_837_699)
    patch = PatchDiscriminator()
    assert list(patch.state_dict()) == keys("model.0", "model.2", "model.5", "model.8", "model.11")
    assert count(patch) == 2_764_737
    assert list(PixelDiscriminator().state_dict()) == keys("net.0", "net.2", "net.5")


@pytest.mark.parametrize(
    ("ours", "torchs"),
    [
        (ResnetGenerator(ngf=2, n_blocks=3, upsample="nearest"), lambda: TorchResnetGenerator(3, 3, 2, 3, "nearest")),
        (PatchDiscriminator(ndf=2, n_layers=5), lambda: TorchPatchDiscriminator(3, 2, 5)),
        (UnetGenerator(num_downs=7, ngf=2), lambda: TorchUnetGenerator(3, 3, 7, 2)),
        (UnetGenerator(num_downs=8, ngf=2), lambda: TorchUnetGenerator(3, 3, 8, 2)),
    ],
    ids=["resnet", "patch", "unet-128", "unet-256"],
)
def test_keys_and_shapes_are_torchs(ours, torchs):
    with torch.device("meta"):
        state = torchs().state_dict()
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [(k, tuple(v.shape)) for k, v in state.items()]


# Loading


def test_what_does_not_fit_is_listed_and_nothing_is_loaded():
    network = PixelDiscriminator(ndf=2)
    before = network.state_dict()
    bad = {key: value + 1 for key, value in before.items()}
    del bad["net.0.bias"]
    bad["net.9.weight"] = np.zeros(3)
    bad["net.2.weight"] = bad["net.2.weight"].transpose(1, 0, 2, 3)
    with pytest.raises(ValueError) as error:
        network.load_state_dict(bad)
    message = str(error.value)
    for part in ("PixelDiscriminator", "missing net.0.bias", "unknown net.9.weight"):
        assert part in message
    assert "net.2.weight has shape (2, 4, 1, 1), wanted (4, 2, 1, 1)" in message
    for key, value in network.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_a_long_list_is_cut():
    with pytest.raises(ValueError, match=r"missing .* and 43 more"):
        ResnetGenerator(ngf=1).load_state_dict({})


# First weights


def weights(method, seed=0, gain=0.02):
    network = ResnetGenerator(ngf=8, n_blocks=1, init_type=method, init_gain=gain, seed=seed)
    return {k: v for k, v in network.state_dict().items() if k.endswith("weight")}


@pytest.mark.parametrize("method", METHODS)
def test_weights_have_the_spread_of_torchs_initialisers(method):
    torch_init = {
        "normal": lambda w: torch.nn.init.normal_(w, 0.0, 0.05),
        "xavier": lambda w: torch.nn.init.xavier_normal_(w, gain=0.05),
        "kaiming": lambda w: torch.nn.init.kaiming_normal_(w, a=0, mode="fan_in"),
        "orthogonal": lambda w: torch.nn.init.orthogonal_(w, gain=0.05),
    }[method]
    torch.manual_seed(0)
    for key, ours in weights(method, gain=0.05).items():
        theirs = torch_init(torch.empty(ours.shape)).numpy()
        n = ours.size
        assert abs(ours.mean()) < 5 * theirs.std() / np.sqrt(n), key
        assert ours.std() == pytest.approx(theirs.std(), rel=5 / np.sqrt(2 * n) * 2), key
        if method != "orthogonal":  # bell-shaped: 4.55 % lie beyond two deviations
            beyond = (abs(ours) > 2 * ours.std()).mean()
            assert beyond == pytest.approx(0.0455, abs=5 * np.sqrt(0.0455 / n)), key


def test_orthogonal_rows_or_columns():
    tall = PixelDiscriminator(ndf=8, init_type="orthogonal", init_gain=0.5).state_dict()["net.0.weight"]  # 8 x 3
    for key, w in {**weights("orthogonal", gain=0.5), "tall": tall}.items():
        rows = w.reshape(w.shape[0], -1).astype("float64")
        gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        np.testing.assert_allclose(gram, 0.25 * np.eye(len(gram)), atol=1e-6, err_msg=key)


def test_biases_start_at_zero_and_defaults_are_the_papers():
    state = PatchDiscriminator(ndf=32).state_dict()
    assert all((value == 0).all() for key, value in state.items() if key.endswith("bias"))
    drawn = np.concatenate([value.ravel() for key, value in state.items() if key.endswith("weight")])
    assert drawn.std() == pytest.approx(0.02, rel=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bits(method):
    one, again, other = weights(method), weights(method), weights(method, seed=1)
    assert all(one[key].tobytes() == again[key].tobytes() for key in one)
    assert all((one[key] != other[key]).any() for key in one)
    np.random.seed(5)  # the global generator plays no part
    assert one["model.1.weight"].tobytes() == weights(method)["model.1.weight"].tobytes()


def test_layers_do_not_share_their_draws():
    state = weights("normal")
    first, second = (state[f"model.10.conv_block.{i}.weight"] for i in (1, 5))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_unknown_initialisation():
    with pytest.raises(
        ValueError, match="unknown initialisation 'he'; wanted one of normal, xavier, kaiming, orthogonal"
    ):
        initialise(PixelDiscriminator(ndf=1), 0, "he")


# Summary


def macs(network, side):
    """Multiply-accumulates of every layer, as the summary counts them."""
    counted = []
    with observed(lambda m, inputs, y: counted.append(m.macs(inputs[0], y)) if hasattr(m, "macs") else None):
        text = network.summary(side, side)
    return sum(counted), text


def test_the_papers_generator_needs_49_gigamacs():
    """Counted on narrow networks and small pictures: MACs grow with the pixels, and with the width or its square."""
    one, two = (macs(ResnetGenerator(ngf=ngf, n_blocks=9), 32)[0] for ngf in (1, 2))
    square = (two - 2 * one) / 2  # one = linear + square, two = 2 linear + 4 square
    total = (64 * (one - square) + 64**2 * square) * (256 / 32) ** 2
    assert total / 1e9 == pytest.approx(49.55, abs=0.005)


def test_macs_of_each_kind_of_layer_by_hand():
    total, text = macs(ResnetGenerator(in_channels=2, out_channels=1, ngf=4, n_blocks=1), 16)
    layers = [256 * 4 * 98, 64 * 8 * 36, 16 * 16 * 72, 16 * 16 * 144, 16 * 16 * 144, 16 * 16 * 8 * 9, 64 * 8 * 4 * 9,
              256 * 1 * 196]  # fmt: skip
    assert total == sum(layers)
    assert text.splitlines()[-1].split() == ["total", "8,149", "0.3"]
    assert macs(PatchDiscriminator(ndf=2, n_layers=1), 16)[0] == 64 * 2 * 48 + 49 * 4 * 32 + 36 * 64
    assert macs(UnetGenerator(num_downs=5, ngf=1), 32)[0] > 0


def test_summary_tells_layers_shapes_and_parameters():
    network = ResnetGenerator(ngf=8, n_blocks=2)
    lines = network.summary(32, 48).splitlines()
    assert lines[0] == "ResnetGenerator on a 32x48 picture"
    table = {line.split()[0]: line.split()[1:] for line in lines[3:]}
    assert table["model.1"][:3] == ["ConvNormRelu", "32x48x8", "1,184"]
    assert table["model.7"][:3] == ["ConvNormRelu", "8x12x32", "4,640"]
    assert table["model.11.conv_block.5"][1] == "8x12x32"
    assert table["model.12"][:2] == ["ConvTransposeNormRelu", "16x24x16"]
    assert table["model.19"][:2] == ["Conv2d", "32x48x3"] and table["model.20"][0] == "Tanh"
    assert table["total"][0] == f"{count(network):,}"
    assert {len(line) for line in lines[2:]} == {len(lines[2])}  # columns stand below each other
