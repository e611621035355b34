"""Where a NaN came from is named: image, weight, layer or loss."""

from __future__ import annotations

import numpy as np
import pytest

from nn import module
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.run.diagnose import finite, nonfinite_origin

TINY = Config(ngf=2, ndf=2, n_blocks=1, crop_size=24, load_size=24, device="cpu")


@pytest.fixture
def model() -> CycleGAN:
    return CycleGAN(TINY)


def picture() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (1, 24, 24, 3)).astype(np.float32)


def origin(model: CycleGAN, a: np.ndarray | None = None, b: np.ndarray | None = None) -> str:
    with np.errstate(all="ignore"):
        return nonfinite_origin(model, picture() if a is None else a, picture() if b is None else b)


def test_finite() -> None:
    assert finite(np.zeros((2, 3))) and finite(np.zeros(0))
    assert not finite(np.array([0.0, np.nan])) and not finite(np.array([[-np.inf]]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_images_come_first(model: CycleGAN, bad: float) -> None:
    spoilt = picture()
    spoilt[0, 5, 6, 1] = bad
    next(iter(model.gen_ab.parameters())).data[...] = np.nan
    assert origin(model, a=spoilt) == "the images of domain A themselves"
    assert origin(model, b=spoilt) == "the images of domain B themselves"


@pytest.mark.parametrize("network, key", [("gen_ab", "model.1.weight"), ("gen_ba", "model.10.conv_block.5.weight"), ("disc_b", "model.11.bias")])  # fmt: skip
def test_then_weights_by_their_full_name(model: CycleGAN, network: str, key: str) -> None:
    parameters = dict(model.networks()[network].named_parameters())
    parameters[key].data.reshape(-1)[-1] = np.nan
    assert origin(model) == f"the weight {network}.{key}"


@pytest.mark.parametrize("network, key, kind", [("gen_ba", "model.4", "ConvNormRelu"), ("gen_ab", "model.18", "Conv2d"), ("disc_a", "model.0", "Conv2d"), ("disc_b", "model.5", "ConvNormRelu")])  # fmt: skip
def test_then_the_first_layer_whose_output_is_not_finite(
    model: CycleGAN, monkeypatch: pytest.MonkeyPatch, network: str, key: str, kind: str
) -> None:
    layers = dict(model.networks()[network].named_modules())
    layer = layers[key]
    assert type(layer).__name__ == kind
    forward = layer.forward
    monkeypatch.setattr(layer, "forward", lambda *inputs: forward(*inputs) * np.float32(np.nan))
    assert origin(model) == f"the output of {kind} {network}.{key}"
    assert module._observers == []  # nothing keeps watching


def test_a_healthy_model_leaves_the_loss(model: CycleGAN) -> None:
    before = model.state_dict()["networks"]
    assert origin(model) == "a loss itself: every layer's output is finite"
    for name, network in model.state_dict()["networks"].items():
        assert all(np.array_equal(array, before[name][key]) for key, array in network.items())


def test_channels_may_differ() -> None:
    model = CycleGAN(TINY.replace(input_nc=1, lambda_identity=0.0))
    assert origin(model, a=picture()[..., :1]).startswith("a loss itself")
