"""The engine: who gets which gradient, and when memory goes."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.function import Function
from autograd.fusion import Fused
from autograd.lanes import lanes
from autograd.mode import watched


@pytest.fixture(autouse=True, params=["bare", "with fusion"])
def engine(request, monkeypatch):
    """All of it holds without what is there for speed."""
    if request.param == "bare":
        monkeypatch.setattr(Fused, "run_backward", Function.run_backward)


def leaf(*values, dtype="float64"):
    return Tensor(np.array(values, dtype), requires_grad=True)


# Where gradients go


def test_gradients_of_several_backwards_add_up():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    first = x.grad
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [5, 7])
    np.testing.assert_array_equal(first, [3, 3])  # the older array was not written to


def test_shared_subexpressions_are_walked_once_and_summed():
    calls = []

    class Twice(Function):
        def forward(self, x):
            return 2 * x

        def backward(self, dy):
            calls.append(dy.copy())
            return 2 * dy

    x = leaf(3.0)
    shared = Twice()(x)
    left, right = shared * shared, shared + 1  # a diamond, one side twice as wide
    (left * right + shared).backward()
    # s = 2x: d(s^3 + s^2 + s)/dx = 2 (3 s^2 + 2 s + 1)
    assert x.grad == 2 * (3 * 36 + 2 * 6 + 1)
    assert len(calls) == 1


def test_a_ladder_of_diamonds_costs_one_visit_each():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2^60 paths
        y = (y + y) * 0.5
    y.backward()
    assert x.grad == 1


def test_a_late_branch_of_an_early_value_waits_for_all_consumers():
    x = leaf(2.0)
    early = x * x
    deep = early
    for _ in range(5):
        deep = deep * 1.5
    (early * deep).backward()
    np.testing.assert_allclose(x.grad, 1.5**5 * 4 * 2.0**3)


def test_leaves_and_retained_tensors_have_gradients_and_others_have_not():
    x, constant = leaf(1.0, 2.0), Tensor(np.array([3.0, 4.0]))
    kept = (x * constant).retain_grad()
    passing = kept * 2
    passing.sum().backward()
    np.testing.assert_array_equal(x.grad, [6, 8])
    np.testing.assert_array_equal(kept.grad, [2, 2])
    assert passing.grad is None and constant.grad is None
    assert x.creator is None and passing.creator is not None


def test_detach_cuts():
    x = leaf(3.0)
    (x * x.detach()).backward()
    assert x.grad == 3
    assert not (x * x).detach().requires_grad


def test_upstream_and_shared_arrays_are_not_written_to():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    upstream = np.array([5.0, 6.0])
    total = x + y  # both receive the very array that was given
    (total + total).backward(upstream)
    (total := x * y).backward(upstream)
    np.testing.assert_array_equal(upstream, [5, 6])
    np.testing.assert_array_equal(x.grad, [10 + 15, 12 + 24])
    np.testing.assert_array_equal(y.grad, [10 + 5, 12 + 12])


def test_a_tensor_that_is_itself_a_leaf():
    x = leaf(1.0, 2.0)
    x.backward(np.array([3.0, 4.0]))
    x.backward(np.array([1.0, 1.0]))
    np.testing.assert_array_equal(x.grad, [4, 5])


@pytest.mark.parametrize("side_by_side", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_lanes_add_up_what_several_backwards_of_each_leave(side_by_side):
    x = leaf(1.0, 2.0)
    x.grad = np.array([100.0, 100.0])

    def work(factor):
        (x * factor).sum().backward()
        assert (x.grad == 100).all()  # until all lanes have ended
        (x * x * factor).sum().backward()

    lanes(work, [1.0, 10.0], side_by_side)
    np.testing.assert_array_equal(x.grad, [100 + 11 * (1 + 2), 100 + 11 * (1 + 4)])


class Watcher:
    """Notes what it hears, and what the gradients are then."""

    def __init__(self):
        self.expected, self.heard = [], []

    def expect(self, leaves):
        self.expected.append(set(leaves))

    def complete(self, leaf):
        self.heard.append((leaf, leaf.grad.copy()))


def test_a_watcher_hears_of_each_leaf_once_when_the_last_gradient_has_come():
    def loss(x, y, z):
        return (ops.tanh(x * y) * x * z + y).sum()

    values = [1.0, 2.0], [3.0, -4.0], [0.5, 0.25]
    plain, seen, watcher = [leaf(*v) for v in values], [leaf(*v) for v in values], Watcher()
    loss(*plain).backward()
    with watched(watcher):
        loss(*seen).backward()
    assert watcher.expected == [set(seen)]
    assert len(watcher.heard) == 3 and watcher.heard[0][0] is seen[2]  # z, which the last product is of
    for heard, then in watcher.heard:
        np.testing.assert_array_equal(then, heard.grad)  # nothing came afterwards
        np.testing.assert_array_equal(then, plain[seen.index(heard)].grad)
    lone = leaf(2.0)
    with watched(watcher):
        lone.backward(np.ones(1))
    assert watcher.heard[-1] == (lone, 1)


def test_a_watcher_of_lanes_hears_in_the_last_one_and_the_bits_stay():
    rng = np.random.default_rng(0)
    x, y = (Tensor(rng.standard_normal(99).astype(np.float32), requires_grad=True) for _ in "xy")
    factors = rng.standard_normal((3, 99)).astype(np.float32)

    def work(i):
        loss = (x * x * factors[i] + (x if i else y) * factors[0]).sum()
        loss.backward()

    lanes(work, range(3))
    wanted = x.grad, y.grad
    x.grad = y.grad = None
    watcher = Watcher()
    with watched(watcher):
        lanes(work, range(3))
    assert watcher.expected == [{x}] and [heard for heard, _ in watcher.heard] == [x]
    assert np.array_equal(watcher.heard[0][1], wanted[0]) and np.array_equal(y.grad, wanted[1])


def test_freezing_keeps_gradients_away_but_lets_them_through():
    x, w = leaf(2.0), leaf(5.0)
    w.requires_grad = False
    (x * w).backward()
    assert x.grad == 5 and w.grad is None


# Memory


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_memory_is_released_while_walking_back(no_collector):
    alive, seen = [], []

    class Watched(Function):
        """y = x * x; notes at each backward how many of the arrays made on the way forward are still there."""

        def forward(self, x):
            y = x * x
            self.save(x, y)
            alive.append(weakref.ref(y))
            return y

        def backward(self, dy):
            seen.append(sum(r() is not None for r in alive))
            return 2 * self.saved[0] * dy

    y = x = leaf(*[1.0] * 4)
    for _ in range(6):
        y = Watched()(y)
    y.backward(np.ones(4))
    assert seen == [6, 6, 5, 4, 3, 2]  # the last output is ours; each other goes once both its users are done
    assert sum(r() is not None for r in alive) == 1
    del y
    assert all(r() is None for r in alive)
    assert x.grad is not None


def test_a_graph_nobody_wants_is_freed_without_the_collector(no_collector):
    x = leaf(*[1.0] * 4)
    y = ops.tanh(x * 2)
    for op in (ops.relu, ops.tanh):
        y = op(y) + x
    refs = [weakref.ref(y.data), weakref.ref(y.creator), weakref.ref(y)]
    del y
    assert [r() for r in refs] == [None] * 3


def test_backward_frees_the_nodes_and_only_the_asked_for_gradients_stay(no_collector):
    x = leaf(*[1.0] * 4)
    hidden = x * 2
    node, array = weakref.ref(hidden.creator), weakref.ref(hidden.data)
    y = (hidden * hidden).sum()
    del hidden
    y.backward()
    assert node() is None and array() is None and y.data == 16


def test_a_deep_chain_needs_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward()
    assert x.grad == 1 and y.data == 20_001
    y = x
    for _ in range(20_000):
        y = y + 1
    del y  # freed link by link
