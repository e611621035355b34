"""Adam and SGD against torch's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from autograd import Tensor
from kernels.dispatch import implementation
from nn import SGD, Adam
from nn.module import Parameter
from tests.cases import ADAM, arrays
from tests.harness import place

SHAPES = ((3, 3, 2, 4), (4,), (5, 1))


def parameters(dtype="float64"):
    rng = np.random.default_rng(0)
    return [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in SHAPES]


def gradients(step):
    """Of very different sizes, and sometimes 0."""
    rng = np.random.default_rng([1, step])
    return [
        rng.standard_normal(shape) * 10.0 ** (3 * i - 3) * rng.integers(0, 2, shape) for i, shape in enumerate(SHAPES)
    ]


def follow(optimizer, peer, steps, rates=None, silent=()):
    """Give the same gradients to ours and torch's for some steps; `silent` parameters get none."""
    theirs = peer.param_groups[0]["params"]
    for step in range(steps):
        if rates:
            optimizer.lr = peer.param_groups[0]["lr"] = rates[step]
        for i, (mine, other, g) in enumerate(zip(optimizer.parameters, theirs, gradients(step), strict=True)):
            mine.grad = None if i in silent else g.copy()
            other.grad = None if i in silent else torch.tensor(g)
        optimizer.step()
        peer.step()
        for mine, other in zip(optimizer.parameters, theirs, strict=True):
            np.testing.assert_allclose(mine.data, other.detach().numpy(), rtol=1e-12, atol=1e-14)


OPTIMISERS = {
    "adam": (lambda p: Adam(p, lr=0.01), lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.999), eps=1e-8)),
    "adam, other betas": (
        lambda p: Adam(p, lr=0.1, betas=(0.9, 0.99), eps=1e-3),
        lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.9, 0.99), eps=1e-3),
    ),
    "sgd": (lambda p: SGD(p, lr=0.01), lambda p: torch.optim.SGD(p, lr=0.01)),
    "sgd, momentum": (lambda p: SGD(p, lr=0.01, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
}


@pytest.mark.parametrize("silent", [(), (1,)], ids=["all move", "one has no gradient"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_ten_steps(name, silent):
    ours, theirs = OPTIMISERS[name]
    mine = parameters()
    before = [p.data.copy() for p in mine]
    follow(ours(mine), theirs([torch.tensor(p.data, requires_grad=True) for p in mine]), 10, silent=silent)
    for i, (p, old) in enumerate(zip(mine, before, strict=True)):
        assert (p.data == old).all() == (i in silent)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_rate_may_change_between_steps(name):
    ours, theirs = OPTIMISERS[name]
    mine = parameters()
    rates = [0.1 / (1 + step) for step in range(10)]
    follow(ours(mine), theirs([torch.tensor(p.data, requires_grad=True) for p in mine]), 10, rates=rates)


def test_the_defaults_are_the_papers():
    adam = Adam(parameters())
    assert (adam.lr, adam.betas, adam.eps) == (2e-4, (0.5, 0.999), 1e-8)
    with pytest.raises(ValueError, match="Adam: no parameters to train"):
        Adam([])


def run(optimizer, steps):
    for step in steps:
        for p, g in zip(optimizer.parameters, gradients(step), strict=True):
            p.grad = g.astype(p.dtype)
        optimizer.step()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adam_goes_on_from_its_state_bit_for_bit(dtype):
    whole, half = Adam(parameters(dtype), lr=0.1), Adam(parameters(dtype), lr=0.1)
    run(whole, range(8))
    run(half, range(4))
    state = half.state_dict()
    kept = copy.deepcopy(state)
    resumed = Adam([Parameter(p.data.copy()) for p in half.parameters], lr=9.0)
    run(half, range(9))  # the state is a copy: going on does not change it
    for name in ("m", "v"):
        assert all((a == b).all() for a, b in zip(state[name], kept[name], strict=True))
    resumed.load_state_dict(state)
    run(resumed, range(4, 8))
    for a, b in zip(whole.parameters, resumed.parameters, strict=True):
        assert a.dtype == b.dtype == dtype and a.data.tobytes() == b.data.tobytes()
    assert resumed.lr == 0.1 and resumed.steps == 8


def test_a_state_of_other_parameters_is_refused():
    state = Adam(parameters()).state_dict()
    with pytest.raises(ValueError, match="saved moments m do not fit"):
        Adam(parameters()[:2]).load_state_dict(state)
    state["v"][0] = state["v"][0][:1]
    with pytest.raises(ValueError, match="saved moments v do not fit"):
        Adam(parameters()).load_state_dict(state)


def test_a_step_makes_older_graphs_stale_and_zero_grad_forgets():
    for make in (lambda p: Adam([p], lr=1.0), lambda p: SGD([p], lr=1.0)):
        p = Parameter(np.ones(3))
        stale = (p * p).sum()
        (p * 2).sum().backward()
        gradient = p.grad.copy()
        optimizer = make(p)
        kept = p.grad
        optimizer.step()
        np.testing.assert_array_equal(kept, gradient)
        with pytest.raises(RuntimeError, match=r"mul: .* changed in place"):
            stale.backward()
        optimizer.zero_grad()
        assert p.grad is None


def test_training_finds_the_minimum():
    target = np.array([1.0, -2.0, 3.0])
    for make in (lambda p: Adam([p], lr=0.1), lambda p: SGD([p], lr=0.1, momentum=0.5)):
        p = Parameter(np.zeros(3))
        optimizer = make(p)
        for _ in range(300):
            optimizer.zero_grad()
            ((p - Tensor(target)) ** 2).sum().backward()
            optimizer.step()
        np.testing.assert_allclose(p.data, target, atol=1e-3)


@pytest.mark.parametrize("case", ADAM, ids=str)
def test_the_adam_kernel_on_its_cases(case, device):
    """float32 on the device under test, against the formula in float64; gradients stay as they are."""
    params, m = ([*arrays(case, "float32", seed=s).values()] for s in (0, 1))
    v = [a * a for a in m]
    grads = [a if case.values == "constant" else a * 3 for a in m[::-1]][::-1]
    exact = []
    for p, g, m_, v_ in zip(*([a.astype("float64") for a in group] for group in (params, grads, m, v)), strict=True):
        m_, v_ = 0.5 * m_ + 0.5 * g, 0.999 * v_ + 0.001 * g * g
        step = 0.1 * (m_ / (1 - 0.5**3)) / (np.sqrt(v_ / (1 - 0.999**3)) + 1e-8)
        exact.append((p - step, m_, v_))

    # Parameters and moments are whole arrays; a gradient may be a view of something larger.
    groups = [
        [place(a, device.xp.array, case.strided and group is grads)[0] for a in group]
        for group in (params, grads, m, v)
    ]
    before = [g.copy() for g in groups[1]]
    implementation("adam", device).update(*groups, lr=0.1, beta1=0.5, beta2=0.999, eps=1e-8, step=3)
    for results, wanted in zip(zip(groups[0], groups[2], groups[3], strict=True), exact, strict=True):
        for a, b in zip(results, wanted, strict=True):
            host = a if isinstance(a, np.ndarray) else a.get()
            assert host.dtype == "float32"
            np.testing.assert_allclose(host, b, rtol=2e-6, atol=2e-6)
    assert all((a == b).all() for a, b in zip(groups[1], before, strict=True))
