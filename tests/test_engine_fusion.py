"""What is there for speed changes no gradient: the bare engine gives the same, with more launches."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import Tensor
from autograd.function import Function
from autograd.fusion import Fused
from autograd.ops import add, conv2d, conv_norm_relu, leaky_relu
from nn import PatchDiscriminator, ResnetGenerator, UnetGenerator
from tests.test_epilogue import GRAPHS as SOME_GRAPHS
from tests.test_epilogue import TWICE, gradients


def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every op answers the engine with its backward alone."""
    monkeypatch.setattr(Fused, "run_backward", Function.run_backward)


def is_read_by_many(x: Tensor, w: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """A normalised picture that goes to convolutions first and last, and to activations in between."""
    y = conv_norm_relu(x, w, padding=1)
    oldest = conv2d(y, v, padding=1)
    between = leaky_relu(y, 0.2), leaky_relu(y, 0.5)
    return add(conv2d(y, u, padding=1), conv2d(y, v, padding=1), *between, oldest)


GRAPHS = {**SOME_GRAPHS, "is read by many": (is_read_by_many, TWICE)}
SAVED = {
    "chain": {"instance_norm._sums": 6, "add._add": 2, "conv2d._wgrad": 3},
    "is read by many": {"instance_norm._sums": 1},
}


@pytest.mark.parametrize("graph", GRAPHS)
def test_graphs_of_every_form(graph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, launches = gradients(*GRAPHS[graph], "interpret", np.float32)
    on_cpu, _ = gradients(*GRAPHS[graph], "cpu", np.float32)
    bare(monkeypatch)
    apart, more = gradients(*GRAPHS[graph], "interpret", np.float32)
    for a, b in zip(usual, apart, strict=True):
        assert np.allclose(a, b, rtol=1e-4, atol=2e-5 * np.abs(b).max())
    for a, b in zip(on_cpu, gradients(*GRAPHS[graph], "cpu", np.float32)[0], strict=True):
        assert np.array_equal(a, b)
    assert more - launches == SAVED.get(graph, {})


NETWORKS = {
    "resnet": (lambda: ResnetGenerator(ngf=4, n_blocks=2, init_gain=0.2), 16),
    "unet": (lambda: UnetGenerator(ngf=2, num_downs=5, init_gain=0.2), 32),
    "patch": (lambda: PatchDiscriminator(ndf=4, n_layers=2, init_gain=0.2), 16),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_to_the_last_bit_on_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, size = NETWORKS[name]

    def leaves() -> list[np.ndarray]:
        network, x = make(), Tensor(pictures[0], requires_grad=True)
        y = network(x)
        (y * y).backward(np.ones(y.shape, np.float32))
        return [x.grad, *(p.grad for p in network.parameters())]

    pictures = np.random.default_rng(0).standard_normal((2, 2, size, size, 3)).astype(np.float32)
    usual = leaves()
    bare(monkeypatch)
    assert all(np.array_equal(a, b) for a, b in zip(usual, leaves(), strict=True))
