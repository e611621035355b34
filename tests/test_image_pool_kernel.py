"""The small kernels that make a step pure: the image pool's exchange, sums of gradients, parts of a batch, weighted losses."""

from __future__ import annotations

import importlib

import ml_dtypes
import numpy as np
import pytest

from autograd import Tensor, gradcheck, ops
from kernels.add import gpu as add
from kernels.add import reference as plain_add
from kernels.batch_slice import gpu as part
from kernels.batch_slice import reference as plain_part
from kernels.clip_grad_norm import gpu as clip
from kernels.clip_grad_norm import reference as plain_clip
from kernels.device import get_device
from kernels.ema import gpu as ema
from kernels.ema import reference as ema_reference
from kernels.gpu.launch import recorded
from kernels.gpu.multi_tensor import gathered
from kernels.image_pool import gpu, reference
from tests.sanitiser import sanitised, shuffled
from tests.test_image_pool import numbered
from train.models.device_pool import DevicePool
from train.models.image_pool import ImagePool

ORDERS = pytest.mark.parametrize("order", [iter, shuffled(0)], ids=["in order", "shuffled"])
RNG = np.random.default_rng(0)


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@ORDERS
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 20, 19, 3)], ids=["minimal", "ragged"])
def test_exchanges_as_told(order, shape):
    images, kept = draw(*shape), draw(4, *shape[1:])
    # put aside, answered by one of this very batch, passed through; for a batch of one the first only
    decisions = np.array([(2, 1), (2, 1), (-1, 0)], np.int32)[: shape[0]]
    wanted_kept = kept.copy()
    wanted = reference.forward(images, wanted_kept, decisions)
    with sanitised(order) as memory:
        buffer = memory.guarded(kept)
        chosen = gpu.forward(memory.guarded(images), buffer, memory.guarded(decisions))
    assert np.array_equal(chosen, wanted) and np.array_equal(buffer, wanted_kept)
    assert np.array_equal(chosen[0], kept[2]) and (len(images) == 1 or np.array_equal(chosen[1], images[0]))


def test_refuses_pictures_of_another_size():
    with pytest.raises(ValueError, match="image_pool"):
        gpu.forward(draw(1, 2, 3, 3), draw(2, 3, 2, 3), np.zeros((1, 2), np.int32))


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_pool_on_the_device_answers_as_one_on_the_host(size, batch):
    here, there = ImagePool(size, [7, 4]), DevicePool(size, [7, 4], get_device("interpret"))
    for i in range(0, 12 * batch, batch):
        with recorded() as launches:
            answer = there.query(numbered(i, batch))
        assert np.array_equal(answer, here.query(numbered(i, batch))) and len(launches) == (size > 0)
    assert len(there.images) == size == len(here.images)
    for mine, wanted in zip(there.images, here.images, strict=True):
        assert np.array_equal(mine, wanted)
    assert there.rng.bit_generator.state == here.rng.bit_generator.state


@pytest.mark.parametrize("stop", [0, 2, 7])
def test_states_travel_between_the_two(stop):
    device = get_device("interpret")
    first, second, third = ImagePool(3, 5), DevicePool(3, 98, device), ImagePool(3, 99)
    for i in range(stop):
        first.query(numbered(i))
    second.load_state_dict(first.state_dict(), device)
    third.load_state_dict(second.state_dict(), get_device("cpu"))
    for i in range(stop, stop + 12):
        wanted = first.query(numbered(i))
        assert np.array_equal(second.query(numbered(i)), wanted) and np.array_equal(third.query(numbered(i)), wanted)


def test_pictures_of_many_sizes_are_kept_one_by_one():
    here, there = ImagePool(2, 3), DevicePool(2, 3, get_device("interpret"))
    for i in range(12):
        image = np.full((1, 2 + i % 3, 2, 3), i, np.float32)
        assert np.array_equal(there.query(image), here.query(image))


@ORDERS
@pytest.mark.parametrize("count", [2, 3, 8, 9])
def test_sums_of_many_in_few_launches(order, count):
    xs = [draw(2, 5, 7, 3) for _ in range(count)]
    with sanitised(order) as memory, recorded() as launches:
        y = add.forward(*map(memory.guarded, xs))
    assert y.tobytes() == plain_add.forward(*xs).tobytes() and len(launches) == (2 if count == 9 else 1)


@ORDERS
@pytest.mark.parametrize(("start", "count"), [(0, 3), (2, 3), (1, 4), (0, 1)])
def test_a_part_goes_back_to_its_place(order, start, count):
    dy = draw(1, 20, 19, 3)
    with sanitised(order) as memory:
        dx = part.backward(memory.guarded(dy), count=count, start=start)
    assert np.array_equal(dx, plain_part.backward(dy, count=count, start=start))


LOSSES = pytest.mark.parametrize("op", ["lsgan_loss", "bce_with_logits", "hinge_loss", "l1_loss", "mean"])


@ORDERS
@LOSSES
def test_the_weight_multiplies_value_and_gradient(op, order):
    arrays = [draw(2, 25, 24, 3) for _ in range(2 if op == "l1_loss" else 1)]
    settings = {} if op in ("l1_loss", "mean") else {"target": 1.0}
    with sanitised(order) as memory:
        ours = importlib.import_module(f"kernels.{op}.gpu").forward(
            *map(memory.guarded, arrays), weight=-2.5, **settings
        )
    plain = importlib.import_module(f"kernels.{op}.reference").forward
    exact = [a.astype(np.float64) for a in arrays]
    for mine, weighted, one in zip(
        ours, plain(*exact, weight=-2.5, **settings), plain(*exact, **settings), strict=True
    ):
        np.testing.assert_allclose(weighted, -2.5 * one, rtol=1e-14)
        np.testing.assert_allclose(mine, weighted, rtol=1e-5, atol=1e-9)


@LOSSES
def test_a_loss_scaled_again_has_a_scaled_gradient(op):
    """The gradient made in the forward is handed on as it is only where the loss itself is what is differentiated."""
    xs = [Tensor(RNG.normal(size=(2, 3, 2, 1)), requires_grad=True) for _ in range(2 if op == "l1_loss" else 1)]
    settings = {} if op in ("l1_loss", "mean") else {"target": 1.0}
    gradcheck(lambda *xs: getattr(ops, op)(*xs, weight=0.7, **settings) * 3.0 + xs[0].sum(), xs)


def test_a_part_must_lie_inside():
    x = Tensor(RNG.normal(size=(3, 2)), requires_grad=True)
    gradcheck(lambda x: (ops.batch_slice(x, 1, 3) ** 2).sum(), [x])
    with pytest.raises(ValueError, match="batch_slice: 1 to 4"):
        ops.batch_slice(x, 1, 4)


def test_a_pool_on_the_device_answers_alike_when_pictures_change_their_size():
    here, there = ImagePool(2, [7, 4]), DevicePool(2, [7, 4], get_device("interpret"))
    on_device = []
    for i, side in enumerate([4, 4, 4, *[6] * 24, 4, 4]):
        picture = np.full((1, side, side, 3), i, np.float32)
        assert np.array_equal(there.query(picture), here.query(picture))
        on_device.append(there.swaps_on_device)
    assert there.rng.bit_generator.state == here.rng.bit_generator.state
    assert on_device[:4] == [True, True, True, False] and on_device[26] and not on_device[27]


@ORDERS
def test_averages_follow_by_a_share_that_the_host_or_the_device_has(order):
    averages, now = ([draw(3, 3, 5, 7), draw(1), draw(1024), draw(33, 31)] for _ in range(2))
    wanted = [a.copy() for a in averages]
    ema_reference.update(wanted, now, share=0.25)
    for share in (0.25, np.float32([0.25])):
        with sanitised(order) as memory:
            mine, weights = ([memory.guarded(x) for x in side] for side in (averages, now))
            ema.update(mine, weights, share=share)
        for a, b in zip(mine, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match="ema: float32"):
        ema.update([draw(3)], [draw(2)], share=0.5)


@ORDERS
@pytest.mark.parametrize("most", [1.0, 1e3], ids=["too long", "short enough"])
def test_gradients_are_clipped_together_and_the_given_ones_stay(order, most):
    grads = [draw(3, 3, 5, 7), draw(1), draw(2, 1024), draw(7, 5).T]
    before = [grad.copy() for grad in grads]
    with sanitised(order) as memory:
        given = [memory.guarded(grad) for grad in grads[:3]] + grads[3:]
        mine = clip.forward(given, most=most)
    for a, b, old, kept in zip(mine, plain_clip.forward(grads, most=most), before, given, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
        assert np.array_equal(kept, old)
    assert most == 1.0 or all(np.array_equal(a, b) for a, b in zip(mine, grads, strict=True))


def test_numbers_are_gathered_in_order():
    with sanitised(iter) as memory:
        numbers = [memory.guarded(np.array(x, np.float32)) for x in (3.0, -1.0, 7.5)]
        assert gathered(numbers).tolist() == [3.0, -1.0, 7.5]
    assert gathered([np.array(2, ml_dtypes.bfloat16)]).tolist() == [2.0]
