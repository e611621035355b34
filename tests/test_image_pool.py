"""The image pool against its definition, written down a second time; its statistics; its state."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kernels.device import get_device
from train.models.image_pool import ImagePool


def numbered(first: int, count: int = 1) -> np.ndarray:
    """Pictures [count,1,2,3] filled with their numbers."""
    return np.broadcast_to(
        np.arange(first, first + count, dtype=np.float32)[:, None, None, None], (count, 1, 2, 3)
    ).copy()


def expected(size: int, seed: int | list[int], count: int) -> list[int]:
    """What a pool answers to pictures 0, 1, 2, …, by the letter of the rule."""
    rng, stored, answers = np.random.default_rng(seed), [], []
    for new in range(count):
        if size == 0:
            answers.append(new)
        elif len(stored) < size:
            stored.append(new)
            answers.append(new)
        elif rng.random() > 0.5:
            place = rng.integers(0, size)
            answers.append(stored[place])
            stored[place] = new
        else:
            answers.append(new)
    return answers


@pytest.mark.parametrize("size", [0, 1, 3, 50])
@pytest.mark.parametrize("batch", [1, 4])
def test_follows_the_rule(size: int, batch: int) -> None:
    pool = ImagePool(size, [7, 4])
    answers = [pool.query(numbered(i, batch)) for i in range(0, 200, batch)]
    assert all(a.shape == (batch, 1, 2, 3) and a.dtype == np.float32 for a in answers)
    flat = np.concatenate(answers)
    assert np.array_equal(flat, np.broadcast_to(flat[:, :1, :1, :1], flat.shape))  # pictures stay whole
    assert flat[:, 0, 0, 0].astype(int).tolist() == expected(size, [7, 4], 200)


def test_half_are_old_all_places_are_drawn_and_ages_are_geometric() -> None:
    size, count = 10, 6000
    pool = ImagePool(size, 0)
    answers = np.array([int(pool.query(numbered(i))[0, 0, 0, 0]) for i in range(count)])[size:]
    ages = np.arange(size, count) - answers
    assert abs((ages > 0).mean() - 0.5) < 0.03  # 4.6 standard deviations
    old = ages[ages > 0]
    assert abs(old.mean() - 2 * size) < 1.5  # a stored picture leaves with p = 1/2 * 1/size at each query: mean age 20
    returned = set(answers[ages > 0].tolist())
    kept = {int(image[0, 0, 0]) for image in pool.images}
    assert len(kept) == size and kept.isdisjoint(returned) and len(returned) == len(old)  # each is returned once


def test_size_zero_passes_through_and_draws_nothing() -> None:
    pool, x = ImagePool(0, 1), numbered(5)
    assert pool.query(x) is x
    assert pool.images == [] and pool.rng.random() == np.random.default_rng(1).random()


def test_each_seed_decides_differently() -> None:
    assert expected(3, [0, 4], 60) != expected(3, [0, 5], 60)
    first, second = ImagePool(3, [0, 4]), ImagePool(3, [0, 5])
    pairs = [(first.query(numbered(i)).item(0), second.query(numbered(i)).item(0)) for i in range(60)]
    assert any(a != b for a, b in pairs)


@pytest.mark.parametrize("stop", [2, 3, 17])
def test_a_saved_pool_goes_on_exactly(stop: int) -> None:
    """Stopped while filling, just full, and later; the random state survives JSON, as in a checkpoint."""
    first, second = ImagePool(3, 5), ImagePool(3, 99)
    for i in range(stop):
        first.query(numbered(i))
    state = first.state_dict()
    assert all(isinstance(image, np.ndarray) for image in state["images"])
    second.load_state_dict(state | {"rng": json.loads(json.dumps(state["rng"]))}, get_device("cpu"))
    for i in range(stop, stop + 30):
        assert np.array_equal(first.query(numbered(i)), second.query(numbered(i)))
