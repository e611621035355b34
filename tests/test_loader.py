"""The loader: the same batches whatever the threads, errors in their place, nothing left running."""

import threading
import time

import numpy as np
import pytest

from train.config.settings import Config
from train.data.dataset import Sample, UnpairedDataset
from train.data.loader import Loader
from train.errors import UserError


class Numbers:
    """A data set whose images are their own position; reads out of step, and counts what is read."""

    def __init__(self, count, bad=None, sizes=(2,)):
        self.config, self.count, self.bad, self.sizes, self.read = Config(), count, bad, sizes, []

    def __len__(self):
        return self.count

    def sample(self, epoch, position):
        self.read.append(position)
        time.sleep(0.002 * (position % 3))
        if position == self.bad:
            raise UserError(f"image {position} is broken")
        x = np.full((self.sizes[position % len(self.sizes)], 2, 1), 100 * epoch + position, np.float32)
        return Sample(x, -x, f"a{position}", f"b{position}")


def loader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("loader")]


@pytest.mark.parametrize("threads", [0, 1, 3, 16])
def test_order_does_not_depend_on_threads(threads):
    batches = list(Loader(Numbers(10), 4, threads).iterate(epoch=2))
    assert [b.position for b in batches] == [0, 1, 2]
    assert [b.a[:, 0, 0, 0].tolist() for b in batches] == [[200, 201, 202, 203], [204, 205, 206, 207], [208, 209]]
    assert batches[2].names_a == ("a8", "a9") and batches[2].names_b == ("b8", "b9")
    assert batches[0].a.shape == (4, 2, 2, 1) and (batches[0].b == -batches[0].a).all()
    assert not loader_threads()


@pytest.mark.parametrize("threads", [0, 2])
def test_start_goes_on_within_an_epoch(threads):
    loader = Loader(Numbers(10), 3, threads)
    assert loader.batches_per_epoch == 4
    whole, rest = list(loader.iterate(1)), list(loader.iterate(1, start=2))
    assert [b.position for b in rest] == [2, 3]
    for one, two in zip(whole[2:], rest, strict=True):
        np.testing.assert_array_equal(one.a, two.a)
    assert list(loader.iterate(1, start=4)) == []


@pytest.mark.parametrize("threads", [0, 3])
def test_an_error_comes_in_its_place(threads):
    seen = []
    with pytest.raises(UserError, match="image 5 is broken"):
        for batch in Loader(Numbers(10, bad=5), 1, threads).iterate(0):
            seen.append(batch.position)
    assert seen == [0, 1, 2, 3, 4] and not loader_threads()


def test_leaving_early_reads_little_and_leaves_no_thread():
    dataset = Numbers(1000)
    batches = Loader(dataset, 1, 2).iterate(0)
    for _ in range(3):
        next(batches)
    assert len(loader_threads()) == 2
    batches.close()
    assert not loader_threads() and len(dataset.read) <= 3 + 4


def test_reading_ahead_is_bounded():
    dataset = Numbers(1000)
    batches = Loader(dataset, 1, 2).iterate(0)
    next(batches)
    time.sleep(0.1)
    assert 2 <= len(dataset.read) <= 4
    batches.close()


def test_waiting_is_measured():
    for threads in (0, 1):
        loader = Loader(Numbers(6), 1, threads)
        start = time.perf_counter()
        list(loader.iterate(0))
        assert 0.005 < loader.waited <= time.perf_counter() - start


def test_mixed_sizes_are_refused_with_the_way_out():
    with pytest.raises(UserError, match=r"--batch_size.*\(a0 2x2 and a1 2x3\)"):
        list(Loader(Numbers(4, sizes=(2, 3)), 2, 2).iterate(0))
    assert len(list(Loader(Numbers(4, sizes=(2, 3)), 1, 2).iterate(0))) == 4


def test_real_samples_are_the_same_with_and_without_threads():
    dataset = UnpairedDataset(Config(load_size=20, crop_size=16, max_dataset_size=6))
    runs = [list(Loader(dataset, 2, threads).iterate(1)) for threads in (0, 4)]
    for one, two in zip(*runs, strict=True):
        np.testing.assert_array_equal(one.a, two.a)
        np.testing.assert_array_equal(one.b, two.b)
        assert one.names_a == two.names_a and one.names_b == two.names_b


def test_nearly_flat_images_are_named():
    dataset = Numbers(4)
    loader = Loader(dataset, 4, 1)
    (batch,) = loader.iterate(1)
    assert batch.flat == tuple(f"{d.lower()}{i} ({d})" for d in "AB" for i in range(4))  # each is one number everywhere
    dataset.sample = lambda epoch, i: Sample(*[np.array([[[-0.03], [0.03 * i]]], np.float32)] * 2, f"a{i}", f"b{i}")
    (batch,) = loader.iterate(1)
    assert batch.flat == ("a0 (A)", "b0 (B)")  # deviations 0.015, 0.03, …
