"""Stacks of weights: a stacked pair beside two networks. The ops alone are in tests/test_ops.py, in cases called stack."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from autograd import Tensor
from autograd.ops import conv2d
from kernels.device import address, get_device
from kernels.gpu.launch import hooks, recorded
from nn import Adam, PatchDiscriminator, ResnetGenerator
from nn.module import Parameter
from nn.stacked import StackedPair, StackedParameter


def test_images_that_cannot_be_shared_out_are_refused() -> None:
    x, w = np.ones((3, 7, 6, 3), np.float32), np.ones((2, 4, 4, 3, 5), np.float32)
    for device in ("cpu", "interpret"):
        with pytest.raises(ValueError, match="3 images cannot be shared out to a stack of 2 weights"):
            conv2d(Tensor(x, device=device), Tensor(w, device=device))


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
        count = sum(launch.name == "conv2d._fprop" for launch in launches)
        optimizer.step()
        results.append((made, [p.data.copy() for p in optimizer.parameters], count))
        if tied:
            weight = first.parameters()[0]
            assert weight.arrived[0].base is not None and np.shares_memory(
                weight.arrived[0], second.parameters()[0].arrived[0].base
            )
    (made, moved, count), (wanted, moved_alone, count_alone) = results
    for i, (one, want) in enumerate(zip(made, wanted, strict=True)):
        assert one.shape == want.shape
        assert np.allclose(one, want, rtol=1e-4, atol=2e-5 * np.abs(want).max() + 1e-9), f"result {i}"
    # Adam moves a weight whose gradient is rounding noise by its whole step, either way.
    clear = [np.abs(g) > 1e-3 * np.abs(g).max() for g in wanted[-len(moved) :]]
    for one, want, where in zip(moved, moved_alone, clear, strict=True):
        assert np.allclose(one[where], want[where], atol=1e-6)
    assert 3 * count == count_alone


@pytest.mark.parametrize("size", [8, 10], ids=["as one", "one after the other"])
def test_each_network_gets_its_own_pictures_in_either_order(size: int) -> None:
    first, second = pair("discriminator")
    both, (a, b) = StackedPair(first, second), pictures(2)
    a = Tensor(np.resize(a.data, (1, size, 8, 3)), device="interpret")
    for nets, xs in (((first, second), (a, b)), ((second, first), (a, b))):
        outputs = both.each((nets[0], (xs[0],)), (nets[1], (xs[1],)))
        for (output,), net, x in zip(outputs, nets, xs, strict=True):
            assert np.allclose(output.data, net(x).data, atol=1e-6)
    assert not np.allclose(first(b).data, second(b).data, atol=1e-2)


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


def test_a_copy_in_bfloat16_is_made_anew_for_the_network_that_changed() -> None:
    device, ones = get_device("interpret"), np.ones(3, np.float32)
    parts = Parameter(ones), Parameter(ones)
    for p in parts:
        p.device = device
    stack, x = StackedParameter(parts), Tensor(np.zeros(1, ml_dtypes.bfloat16), device=device)
    place = address(stack.for_input(x).data)
    parts[1].data[...] = 2
    parts[1].changed()
    parts[0].refresh()  # of both, only this one's copy is told to be one of the present values
    low = stack.for_input(x)
    assert address(low.data) == place and low.data.astype(np.float32).tolist() == [[1] * 3, [2] * 3]
    assert low.version == stack.version == parts[0].version  # whoever saved it notices the next change
