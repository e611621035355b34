"""Stacks of weights: grouped convolutions beside one group after the other, and stacked pairs beside two networks."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from autograd.ops import conv2d
from kernels.conv2d.stacked import GroupByGroup, for_weight
from kernels.gpu.launch import hooks, recorded
from nn import Adam, PatchDiscriminator, ResnetGenerator
from nn.stacked import StackedPair
from tests.sanitiser import sanitised, shuffled

REFLECT = dict(padding=1, padding_mode="reflect")
# op, x of 2 groups, w, third is a bias or a skip, settings
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], bool, dict[str, Any]]] = {
    "whole tiles": ("conv2d", (2, 8, 8, 16), (2, 3, 3, 16, 16), False, REFLECT),
    "bias": ("conv2d", (4, 7, 6, 3), (2, 4, 4, 3, 5), True, dict(stride=2, padding=1)),
    "three groups": ("conv2d", (3, 5, 4, 2), (3, 3, 3, 2, 3), True, {}),
    "runs": ("conv2d", (2, 36, 38, 2), (2, 1, 1, 2, 3), True, {}),  # dw and db in several runs
    "few out": ("conv2d", (4, 6, 5, 16), (2, 3, 3, 16, 3), True, REFLECT),  # a tile wider than the channels
    "transposed": ("conv_transpose2d", (4, 3, 4, 5), (2, 3, 3, 5, 3), True, {}),
    "block": ("conv_norm_relu", (4, 6, 5, 3), (2, 3, 3, 3, 4), True, REFLECT),
    "block without skip": ("conv_norm_relu", (2, 8, 8, 4), (2, 4, 4, 4, 3), False, dict(stride=2, padding=1)),
}


def arrays(case: str, dtype: Any = np.float32) -> list[Any]:
    """x, w, third, dy."""
    op, x_shape, w_shape, with_third, settings = CASES[case]
    rng = np.random.default_rng(0)
    x, w = rng.normal(0.5, 1.0, x_shape), rng.normal(0, 1, w_shape) / np.sqrt(np.prod(w_shape[1:4]))
    y = GroupByGroup(importlib.import_module(f"kernels.{op}.reference")).forward(x, w, **settings)
    y = y[0] if isinstance(y, tuple) else y
    third_shape = y.shape if op == "conv_norm_relu" else (w_shape[0], y.shape[-1])
    third = rng.normal(size=third_shape) if with_third else None
    return [a if a is None else a.astype(dtype) for a in (x, w, third, rng.normal(0.2, 1, y.shape))]


def both_ways(case: str, module: Any, x: Any, w: Any, third: Any, dy: Any, **need: Any) -> list[Any]:
    """Outputs, then gradients."""
    settings = CASES[case][-1]
    result = module.forward(x, w, third, **settings)
    results = result if isinstance(result, tuple) else (result,)
    return [*results, *module.backward(dy, x, w, *results[1:], **settings, **need)]


@pytest.mark.parametrize("case", CASES)
def test_grouped_is_group_by_group(case: str) -> None:
    gpu = importlib.import_module(f"kernels.{CASES[case][0]}.gpu")
    given = arrays(case)
    wanted = both_ways(case, GroupByGroup(gpu), *given)
    assert for_weight(gpu, given[1]) is gpu
    for order in (iter, shuffled(0)):
        with sanitised(order) as memory:
            guarded = [None if a is None else memory.guarded(a) for a in given]
            for i, (one, want) in enumerate(zip(both_ways(case, gpu, *guarded), wanted, strict=True)):
                assert one.shape == want.shape and one.dtype == want.dtype
                assert np.allclose(one, want, rtol=1e-5, atol=1e-5 * np.abs(want).max()), f"result {i}"


@pytest.mark.parametrize("case", ["bias", "transposed", "block"])
def test_grouped_in_bfloat16(case: str) -> None:
    import ml_dtypes

    gpu = importlib.import_module(f"kernels.{CASES[case][0]}.gpu")
    given = arrays(case, ml_dtypes.bfloat16)
    for one, want in zip(both_ways(case, gpu, *given), both_ways(case, GroupByGroup(gpu), *given), strict=True):
        one, exact = one.astype(np.float32), want.astype(np.float32)
        assert np.allclose(one, exact, rtol=2**-7, atol=2**-7 * np.abs(exact).max())


def test_only_what_is_needed_is_computed() -> None:
    for case in ("bias", "transposed"):
        gpu = importlib.import_module(f"kernels.{CASES[case][0]}.gpu")
        x, w, _, dy = arrays(case)
        settings = CASES[case][4]
        every = gpu.backward(dy, x, w, **settings)
        for need in ((True, False, False), (False, True, False), (False, False, True)):
            for module in (gpu, GroupByGroup(gpu)):
                results = module.backward(dy, x, w, **settings, need=need)
                assert [r is not None for r in results] == list(need)
                for one, wanted in zip(results, every, strict=True):
                    assert one is None or np.allclose(one, wanted, rtol=1e-5, atol=1e-5)


def test_a_module_that_takes_no_stacks_is_called_for_each_group() -> None:
    x, w, b, _ = arrays("bias")
    both = conv2d(Tensor(x), Tensor(w), Tensor(b), **CASES["bias"][4]).data
    for g in range(2):
        alone = conv2d(Tensor(x[2 * g : 2 * g + 2]), Tensor(w[g]), Tensor(b[g]), **CASES["bias"][4]).data
        assert np.array_equal(both[2 * g : 2 * g + 2], alone)


def test_images_that_cannot_be_shared_out_are_refused() -> None:
    x, w, *_ = arrays("bias")
    for device in ("cpu", "interpret"):
        with pytest.raises(ValueError, match="3 images cannot be shared out to a stack of 2 weights"):
            conv2d(Tensor(x[:3], device=device), Tensor(w, device=device))


# Stacked pairs


def pair(kind: str) -> tuple[Any, Any]:
    """Two networks alike with different weights, and biases that are not zero."""
    settings: dict[str, Any] = dict(device="interpret", init_gain=0.2)
    kinds: dict[str, Any] = {
        "generator": lambda s: ResnetGenerator(ngf=2, n_blocks=1, seed=s, **settings),
        "discriminator": lambda s: PatchDiscriminator(ndf=2, n_layers=1, seed=s, **settings),
    }
    nets = kinds[kind](1), kinds[kind](2)
    for s, net in enumerate(nets):
        net.load_state_dict({k: v + 0.1 * (s + 1) * (v.ndim == 1) for k, v in net.state_dict().items()})
    return nets


def pictures(count: int) -> list[Tensor]:
    rng = np.random.default_rng(5)
    return [Tensor(rng.normal(size=(1, 8, 8, 3)).astype(np.float32), device="interpret") for _ in range(count)]


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_a_stacked_pair_is_two_networks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, gradients (of parameters and pictures), and an Adam step after two passes."""
    monkeypatch.setattr(hooks, "matmul", "fp32")
    results = []
    for tied in (True, False):
        first, second = pair(kind)
        both = StackedPair(first, second)
        optimizer = Adam(first.parameters() + second.parameters())
        a, b, c, d = pictures(4)
        c.requires_grad = True
        with recorded() as launches:
            if tied:
                xs, ys = both((a, b), (c, d))
                (x,), (y,) = both((c,), (a,))
            else:
                xs, ys, x, y = (first(a), first(b)), (second(c), second(d)), first(c), second(a)
        total = Tensor(np.zeros((), np.float32), device="interpret")
        for i, out in enumerate((*xs, *ys, x, y)):
            total = total + (i + 1) * (out * out).mean()
        total.backward()
        made = [*(out.data for out in (*xs, *ys, x, y)), c.grad, *(p.grad for p in optimizer.parameters)]
        count = sum(launch.name == "implicit_gemm._correlate" for launch in launches)
        optimizer.step()
        results.append((made, [p.data.copy() for p in optimizer.parameters], count))
        if tied:
            weight = first.parameters()[0]
            assert weight.grad.base is not None and np.shares_memory(weight.grad, second.parameters()[0].grad.base)
    (made, moved, count), (wanted, moved_alone, count_alone) = results
    for i, (one, want) in enumerate(zip(made, wanted, strict=True)):
        assert one.shape == want.shape
        assert np.allclose(one, want, rtol=1e-4, atol=2e-5 * np.abs(want).max() + 1e-9), f"result {i}"
    # Adam moves a weight whose gradient is rounding noise by its whole step, either way.
    clear = [np.abs(g) > 1e-3 * np.abs(g).max() for g in wanted[-len(moved) :]]
    for one, want, where in zip(moved, moved_alone, clear, strict=True):
        assert np.allclose(one[where], want[where], atol=1e-6)
    assert 3 * count == count_alone


def test_the_two_networks_stay_their_own() -> None:
    first, second = pair("discriminator")
    before = first.state_dict()
    both = StackedPair(first, second)
    a, b = pictures(2)
    assert all(np.array_equal(v, before[k]) for k, v in first.state_dict().items())
    (y,), _ = both((a,), (b,))
    assert np.allclose(y.data, first(a).data, atol=1e-5)
    first.load_state_dict({k: 2 * v for k, v in before.items()})  # in place: the stack follows
    (y,), _ = both((a,), (b,))
    assert np.allclose(y.data, first(a).data, atol=1e-5)
    first.astype("float32")  # new arrays: the stack is made anew
    first.load_state_dict(before)
    (y,), _ = both((a,), (b,))
    assert np.allclose(y.data, first(a).data, atol=1e-5)
    assert "parameters" in first.summary(16, 16)


def test_gradients_are_forgotten_and_added_by_each_network() -> None:
    first, second = pair("discriminator")
    both = StackedPair(first, second)
    a, b = pictures(2)

    def once() -> np.ndarray:
        (x,), (y,) = both((a,), (b,))
        (x * x + y * y).mean().backward()
        return first.parameters()[0].grad.copy()

    one = once()
    assert np.allclose(once(), 2 * one, rtol=1e-5)
    first.zero_grad()
    assert second.parameters()[0].grad is not None
    assert np.allclose(once(), one, rtol=1e-5)
    first.requires_grad_(False)
    second.requires_grad_(False)
    assert not both((a,), (b,))[0][0].requires_grad


def test_a_change_of_one_network_makes_the_graph_stale() -> None:
    first, second = pair("discriminator")
    (x,), _ = StackedPair(first, second)(*((p,) for p in pictures(2)))
    second.parameters()[0].changed()
    with pytest.raises(RuntimeError, match="changed in place"):
        x.mean().backward()


def test_a_change_of_one_network_renews_the_conversion_to_bfloat16() -> None:
    import ml_dtypes

    first, second = pair("discriminator")
    both = StackedPair(first, second)
    a, b = (Tensor(p.data.astype(ml_dtypes.bfloat16), device="interpret") for p in pictures(2))
    before = both((a,), (b,))[1][0].data.copy()
    second.load_state_dict(
        {k: -v if v.ndim == 4 else v for k, v in second.state_dict().items()}
    )  # biases are not converted
    assert not np.array_equal(both((a,), (b,))[1][0].data, before)


def test_networks_that_differ_run_one_after_the_other() -> None:
    first, _ = pair("discriminator")
    other = PatchDiscriminator(ndf=3, n_layers=1, device="interpret")
    a, b, c = pictures(3)
    (x, y), (z,) = StackedPair(first, other)((a, b), (c,))
    assert np.allclose(x.data, first(a).data, atol=1e-6) and np.allclose(z.data, other(c).data, atol=1e-6)
    assert len(y) == 1
