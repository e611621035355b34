"""What a convolution's backward does on the way: the same numbers as one op after the other, in fewer launches."""

from __future__ import annotations

import importlib
from collections import Counter
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from autograd.ops import add, conv2d, conv_norm_relu, conv_transpose_norm_relu, leaky_relu
from kernels.conv2d import gpu as conv2d_gpu
from kernels.conv2d.geometry import Geometry, TransposedGeometry
from kernels.conv_norm_relu import gpu as conv_norm_relu_gpu
from kernels.conv_transpose_norm_relu import gpu as conv_transpose_norm_relu_gpu
from kernels.gpu.epilogue import Epilogue, Sums
from kernels.gpu.launch import hooks, recorded
from kernels.instance_norm import gpu as instance_norm_gpu
from kernels.instance_norm import reference as instance_norm_reference
from kernels.instance_norm.settings import NormSettings
from tests.sanitiser import sanitised, shuffled

REFLECT = dict(padding_mode="reflect")
F4 = np.float32
# op, x, w, geometry
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], Geometry | TransposedGeometry]] = {
    "whole tiles": ("conv2d", (1, 8, 8, 16), (3, 3, 16, 16), Geometry(padding=1, **REFLECT)),
    "head": ("conv2d", (2, 9, 10, 5), (7, 7, 5, 3), Geometry(padding=3, **REFLECT)),
    "phases of two sizes": ("conv2d", (2, 17, 8, 5), (4, 4, 5, 6), Geometry(stride=2, padding=1)),
    "by the padded picture": ("conv2d", (1, 7, 6, 3), (4, 4, 3, 4), Geometry(stride=2, padding=1, **REFLECT)),
    "stack": ("conv2d", (4, 6, 5, 3), (2, 3, 3, 3, 4), Geometry(padding=1, **REFLECT)),
    "transposed": ("conv_transpose2d", (2, 5, 4, 17), (3, 3, 17, 5), TransposedGeometry()),
}


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "matmul", "fp32")


@pytest.mark.parametrize("order", [iter, shuffled(0)], ids=["in order", "shuffled"])
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_added_and_its_sums_are_left(case: str, order: Any) -> None:
    op, x_shape, w_shape, geometry = CASES[case]
    gpu, rng = importlib.import_module(f"kernels.{op}.gpu"), np.random.default_rng(0)
    x, onto, z = (rng.normal(0.3, 1, x_shape).astype(F4) for _ in range(3))
    w = rng.normal(size=w_shape).astype(F4)
    dy = rng.normal(0.2, 1, gpu.forward(x, w, geometry=geometry).shape).astype(F4)
    apart = gpu.backward(dy, x, w, geometry=geometry)[0].astype(np.float64) + onto
    norm = NormSettings("leaky_relu", 0.2)
    _, mean, rstd = instance_norm_reference.forward(z.astype(np.float64), norm=norm)
    with sanitised(order) as memory:
        given = [memory.guarded(a.astype(F4)) for a in (onto, z, mean, rstd)]
        sums = Sums(*given[1:], 0.2)
        epilogue = Epilogue(given[0], sums)
        dx = gpu.backward(dy, x, w, geometry=geometry, need=(True, False, False), epilogue=epilogue)[0]
    assert np.allclose(dx, apart, rtol=1e-5, atol=1e-5 * np.abs(apart).max())
    if case == "by the padded picture":
        assert sums.partials is None  # the norm makes them itself
        return
    x_hat = (z - mean[:, None, None]) * rstd[:, None, None]
    g = np.where(x_hat > 0, apart, 0.2 * apart)
    for got, wanted in zip(sums.partials.astype(np.float64).sum(1).swapaxes(0, 1), (g, g * x_hat), strict=True):
        assert np.allclose(got, wanted.sum((1, 2)), rtol=1e-5, atol=1e-4)
    with recorded() as launches:
        fused = instance_norm_gpu.backward(dx, z, mean.astype(F4), rstd.astype(F4), norm=norm, sums=sums)
    assert len(launches) == 1
    exact = instance_norm_reference.backward(apart, z.astype(np.float64), mean, rstd, norm=norm)
    assert np.allclose(fused, exact, rtol=1e-5, atol=2e-5 * np.abs(exact).max())


def parameters(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(0.1, 1, s) / np.sqrt(np.prod(s[:3])) if i else rng.normal(0.3, 1, s) for i, s in enumerate(shapes)]  # fmt: skip


def chain(x: Tensor, *w: Tensor) -> Tensor:
    """Two residual blocks between a strided and a transposed layer, as in the generator."""
    y = conv_norm_relu(x, w[0], stride=2, padding=1)
    for first, second in ((w[1], w[2]), (w[3], w[4])):
        inner = conv_norm_relu(y, first, padding=1, **REFLECT)
        y = conv_norm_relu(inner, second, y, padding=1, activation="none", **REFLECT)
    return conv2d(conv_transpose_norm_relu(y, w[5]), w[6], padding=3, **REFLECT)


CHAIN = parameters((2, 8, 12, 3), (3, 3, 3, 4), *4 * [(3, 3, 4, 4)], (3, 3, 4, 3), (7, 7, 3, 3))


def uses_twice(x: Tensor, w: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """A normalised picture that two convolutions and an activation read; the activation is the last to send a gradient."""
    y = conv_norm_relu(x, w, padding=1)
    early = leaky_relu(y, 0.2)
    return add(conv2d(y, v, padding=1), conv2d(y, u, padding=1), early)


TWICE = parameters((1, 6, 5, 3), *3 * [(3, 3, 3, 3)])


def skips_itself(x: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """Input and skip of one block are the same picture."""
    y = conv_norm_relu(x, w, padding=1)
    return conv_norm_relu(y, v, y, padding=1, activation="leaky_relu", **REFLECT)


def is_read_elsewhere(x: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """A picture that somebody also reads who is not asked for gradients: one of its gradients never comes."""
    y = conv_norm_relu(x, w, padding=1)
    is_read_elsewhere.other = conv2d(y, v, padding=1)  # type: ignore[attr-defined]
    return conv2d(y, v, padding=1)


GRAPHS: dict[str, tuple[Any, list[np.ndarray]]] = {
    "chain": (chain, CHAIN),
    "uses twice": (uses_twice, TWICE),
    "skips itself": (skips_itself, TWICE[:3]),
    "is read elsewhere": (is_read_elsewhere, TWICE[:3]),
}


def gradients(function: Any, arrays: list[np.ndarray], device: str, dtype: Any) -> tuple[list[np.ndarray], Counter]:
    """Of a weighted sum of the outputs, with respect to every array; and the launches of the backward."""
    leaves = [Tensor(a.astype(dtype), requires_grad=True, device=device) for a in arrays]
    y = function(*leaves)
    with recorded() as launches:
        y.backward(np.random.default_rng(2).normal(0.2, 1, y.shape).astype(dtype))
    return [leaf.grad for leaf in leaves], Counter(launch.name for launch in launches)


@pytest.mark.parametrize("graph", GRAPHS)
def test_a_graph_has_the_same_gradients(graph: str) -> None:
    wanted, _ = gradients(*GRAPHS[graph], "cpu", np.float64)
    results, _ = gradients(*GRAPHS[graph], "interpret", F4)
    for i, (got, want) in enumerate(zip(results, wanted, strict=True)):
        assert np.allclose(got, want, rtol=1e-4, atol=2e-5 * np.abs(want).max()), f"input {i}"


def test_a_residual_chain_needs_no_other_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    fused, launches = gradients(chain, CHAIN, "interpret", F4)
    of_the_head = {"conv2d._add_halo", "conv2d._unfold", "conv2d._pack"}
    assert set(launches) == {"conv2d._dgrad", "conv2d._fprop", "conv2d._wgrad", "instance_norm._dx", *of_the_head}
    assert launches["instance_norm._dx"] == 6 and launches["conv2d._add_halo"] == 1
    for module in (conv2d_gpu, conv_norm_relu_gpu, conv_transpose_norm_relu_gpu):
        monkeypatch.setattr(module, "EPILOGUE", False)
    apart, launches = gradients(chain, CHAIN, "interpret", F4)
    assert launches["instance_norm._sums"] == 6 and launches["add._add"] == 2
    assert all(np.allclose(a, b, rtol=1e-4, atol=2e-5 * np.abs(b).max()) for a, b in zip(fused, apart, strict=True))


@pytest.mark.parametrize(("graph", "made"), [("uses twice", 1), ("skips itself", 2), ("is read elsewhere", 1)])
def test_sums_are_made_by_the_norm_where_a_gradient_is_still_to_come(graph: str, made: int) -> None:
    _, launches = gradients(*GRAPHS[graph], "interpret", F4)
    assert launches["instance_norm._sums"] == made


def test_modules_that_take_neither_get_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (conv_norm_relu_gpu, conv_transpose_norm_relu_gpu):
        monkeypatch.setattr(module, "SUMS", False)
    wanted, _ = gradients(chain, CHAIN, "cpu", np.float64)
    results, launches = gradients(chain, CHAIN, "interpret", F4)
    assert launches["instance_norm._sums"] == 6
    assert all(np.allclose(a, b, rtol=1e-4, atol=2e-5 * np.abs(b).max()) for a, b in zip(results, wanted, strict=True))
