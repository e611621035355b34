"""The generator strip by strip: the whole picture's result, whatever the strips, and within its memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from autograd import Tensor, no_grad
from kernels.cpu import threads
from nn import ResnetGenerator
from nn.affine import make_affine
from nn.resnet_generator import PARTS
from train.inference import strips
from train.inference.strips import run_in_strips

RNG = np.random.default_rng(0)


def with_random_weights(network):
    """Large enough that a mistake shows; affine norms and biases included."""
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    network.load_state_dict({key: RNG.standard_normal(s) * 0.3 + (len(s) == 1) for key, s in shapes.items()})
    return network


def whole(network, x):
    with no_grad():
        return network(Tensor(x)).numpy()


@pytest.mark.parametrize("upsample", ["deconv", "nearest", "bilinear", "affine", "zeros"])
@pytest.mark.parametrize("side", [(104, 68), (8, 200), (36, 8)])
def test_strips_give_the_whole_pictures_result(monkeypatch, upsample, side):
    monkeypatch.setattr(strips, "STRIP", 1)  # 16 rows
    kind, zeros = {"affine": ("deconv", ()), "zeros": ("bilinear", PARTS)}.get(upsample, (upsample, ()))
    network = with_random_weights(ResnetGenerator(2, 3, ngf=4, n_blocks=2, upsample=kind, zero_padded=zeros))
    if upsample == "affine":
        network = with_random_weights(make_affine(network))
    x = RNG.standard_normal((1, *side, 2)).astype(np.float32) * 0.5 + 0.4
    x[:, : side[0] // 2] += 0.5  # strips that differ from each other
    np.testing.assert_allclose(run_in_strips(network, x), whole(network, x), atol=1e-4)


def test_strips_are_as_exact_as_the_whole(monkeypatch):
    """Both against float64: instance norm over many rows is where digits could be lost."""
    monkeypatch.setattr(strips, "STRIP", 1)
    network = with_random_weights(ResnetGenerator(ngf=4, n_blocks=1))
    x = (RNG.standard_normal((1, 512, 64, 3)) * 0.2 + 3).astype(np.float32)
    fine = ResnetGenerator(ngf=4, n_blocks=1).astype("float64")
    fine.load_state_dict(network.state_dict())
    truth = whole(fine, x.astype(np.float64))
    errors = [abs(y - truth).max() for y in (run_in_strips(network, x), whole(network, x))]
    assert errors[0] <= 2 * errors[1] + 1e-6, errors


def test_maps_of_the_pictures_size_are_never_held(monkeypatch):
    monkeypatch.setattr(strips, "STRIP", 1)
    network = ResnetGenerator(ngf=16, n_blocks=2)
    x = RNG.standard_normal((1, 1024, 512, 3)).astype(np.float32)
    peaks = []
    for compute in (run_in_strips, whole):
        compute(network, x)  # kernels are compiled
        vars(threads._own).clear()  # and their buffers are made anew, to be counted too
        tracemalloc.start()
        compute(network, x)
        peaks.append(tracemalloc.get_traced_memory()[1] / (1024 * 512 * 16))  # bytes per pixel and channel of ngf
        tracemalloc.stop()
    assert peaks[0] < 5 and peaks[1] > 8, peaks  # 3 for the maps held, 0.75 for the result, the rest for strips


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiples of 4"):
        run_in_strips(ResnetGenerator(ngf=1, n_blocks=1), np.zeros((1, 30, 32, 3), np.float32))
