"""Data sets: in which order images come, and how a sample is drawn from them."""

import numpy as np
import pytest
from PIL import Image

from tests.folders import config, three_and_five, write
from train.data.dataset import UnpairedDataset
from train.data.images import load_image
from train.data.sources import ImageFolder


@pytest.fixture
def root(tmp_path):
    return three_and_five(tmp_path)


def test_order_shuffles_a_and_draws_b(root):
    dataset = UnpairedDataset(config(root))
    assert len(dataset) == 5
    orders = [dataset.epoch_order(epoch) for epoch in range(40)]
    for order in orders:
        assert len(order) == 5 and all(0 <= i < 3 and 0 <= j < 5 for i, j in order)
        assert sorted(i for i, _ in order) == [0, 0, 1, 1, 2]  # 0..4 shuffled, modulo 3
    assert len({tuple(order) for order in orders}) > 30
    assert any(len({j for _, j in order}) < 5 for order in orders)  # drawn, not shuffled
    assert {j for order in orders for _, j in order} == set(range(5))


def test_order_is_a_function_of_seed_and_epoch(root):
    first, again = UnpairedDataset(config(root)), UnpairedDataset(config(root))
    again.epoch_order(9)
    assert first.epoch_order(3) == again.epoch_order(3) != first.epoch_order(4)
    assert UnpairedDataset(config(seed=1)).epoch_order(3) != UnpairedDataset(config(seed=0)).epoch_order(3)
    order = UnpairedDataset(config()).epoch_order(0)
    assert sorted(i for i, _ in order) == list(range(100)) and [i for i, _ in order] != [j for _, j in order]


def test_serial_batches_pair_by_index(root):
    dataset = UnpairedDataset(config(root, serial_batches=True))
    assert dataset.epoch_order(7) == [(0, 0), (1, 1), (2, 2), (0, 3), (1, 4)]


def test_direction_swaps_the_domains_and_limit_cuts_them(root):
    dataset = UnpairedDataset(config(root, direction="BtoA", max_dataset_size=2))
    assert [dataset.a.name(i) for i in range(len(dataset.a))] == ["b0.png", "b1.png"]
    assert [dataset.b.name(i) for i in range(len(dataset.b))] == ["a0.png", "a1.png"]
    swapped, plain = UnpairedDataset(config(direction="BtoA")), UnpairedDataset(config())
    np.testing.assert_array_equal(swapped.a.load(0), plain.b.load(0))


def test_a_sample_is_a_function_of_seed_epoch_and_position(root):
    first, again = UnpairedDataset(config(root)), UnpairedDataset(config(root))
    for position in (4, 0, 2):
        again.sample(5, position)
    one, two = first.sample(5, 3), again.sample(5, 3)
    np.testing.assert_array_equal(one.a, two.a)
    np.testing.assert_array_equal(one.b, two.b)
    assert (one.name_a, one.name_b) == (two.name_a, two.name_b)


def test_a_and_b_are_cropped_and_mirrored_independently(tmp_path):
    for folder in ("trainA", "trainB"):
        write(tmp_path / folder / "one.png", seed=1)
    dataset = UnpairedDataset(config(tmp_path, preprocess="crop", crop_size=14))
    samples = [dataset.sample(epoch, 0) for epoch in range(60)]
    assert len({s.a.tobytes() for s in samples}) > 12  # 9 crops, each also mirrored
    assert 0.02 < np.mean([np.array_equal(s.a, s.b) for s in samples] + [False] * 3 + [True] * 2) < 0.3


def test_a_cache_changes_nothing_but_the_reading(tmp_path, monkeypatch):
    """8-bit images, a 16-bit one and one larger than it is made, within a bound that some must stay out of."""
    for i in range(3):
        write(tmp_path / "trainA" / f"a{i}.png", seed=i)
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16), dtype=np.uint16)
    write(tmp_path / "trainB" / "large.png", 200, 100)
    Image.fromarray(deep).save(tmp_path / "trainB" / "deep.png")
    read = []
    load = ImageFolder.load
    monkeypatch.setattr(ImageFolder, "load", lambda self, i: read.append(self.name(i)) or load(self, i))

    def epochs(dataset):
        read.clear()
        return [dataset.sample(epoch, i) for epoch in range(6) for i in range(3)]

    plain, cached, small = (UnpairedDataset(config(tmp_path, cache_mb=mb)) for mb in (0, 1, 1))
    small.cache.room = 2000  # bytes: two images of 768 fit
    wanted = epochs(plain)
    assert len(read) == 36
    for dataset, reads in ((cached, 5), (small, None)):
        for one, two in zip(wanted, epochs(dataset), strict=True):
            np.testing.assert_array_equal(one.a, two.a)
            np.testing.assert_array_equal(one.b, two.b)
        assert len(read) == reads or (reads is None and 5 < len(read) < 36)
        assert sum(x.nbytes for x in dataset.cache.kept.values()) <= 1_000_000
    types = sorted(str(image.dtype) for image in cached.cache.kept.values())
    assert types == ["float32", "float32", "uint8", "uint8", "uint8"]
    assert len(small.cache.kept) == 2 and small.cache.room < 768


def test_nothing_is_resampled_where_sizes_agree(root):
    dataset = UnpairedDataset(config(root, crop_size=16, no_flip=True))
    sample = dataset.sample(0, 0)
    np.testing.assert_array_equal(sample.a, load_image(root / "trainA" / sample.name_a))
