"""How an image becomes a training image: sizes, crops, mirroring."""

import numpy as np
import pytest

from tests.folders import config, three_and_five, write
from train.data.dataset import UnpairedDataset
from train.data.pixels import resize
from train.data.preprocess import final_size, preprocess
from train.errors import UserError


@pytest.fixture
def root(tmp_path):
    return three_and_five(tmp_path)


def gradient(height, width):
    """[H,W,2] whose channels are the row and the column: a crop tells where it was taken."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([rows, columns], -1).astype(np.float32) / 1000


def test_crops_cover_all_places_and_mirroring_is_fair():
    x, c = gradient(20, 30), config(preprocess="crop", crop_size=16)
    corners, mirrored = set(), 0
    for i in range(400):
        y = preprocess(x, c, np.random.default_rng(i))
        assert y.shape == (16, 16, 2) and y.flags.c_contiguous
        flipped = y[0, 0, 1] > y[0, -1, 1]
        mirrored += flipped
        y = y[:, ::-1] if flipped else y
        top, left = (int(v) for v in np.rint(y[0, 0] * 1000))
        np.testing.assert_array_equal(y, x[top : top + 16, left : left + 16])
        corners.add((top, left))
    assert corners == {(i, j) for i in range(5) for j in range(15)} and 160 < mirrored < 240
    flips = [np.array_equal(preprocess(x, c.replace(no_flip=True), np.random.default_rng(i))[0, :, 1],
             np.sort(preprocess(x, c.replace(no_flip=True), np.random.default_rng(i))[0, :, 1])) for i in range(20)]  # fmt: skip
    assert all(flips)


@pytest.mark.parametrize(
    ("mode", "size", "trained", "tested"),
    [
        ("resize_and_crop", (40, 10), (12, 12), (12, 12)),
        ("crop", (40, 30), (12, 12), (12, 12)),
        ("scale_width", (32, 64), (16, 32), (16, 32)),
        ("scale_width", (64, 16), (16, 12), (16, 12)),  # height at least crop_size
        ("scale_width", (32, 38), (16, 20), (16, 20)),  # 19 rows, to a multiple of 4
        ("scale_width_and_crop", (64, 16), (12, 12), (12, 12)),
        ("none", (21, 30), (20, 32), (20, 32)),
        ("none", (1, 4), (4, 4), (4, 4)),
    ],
)
def test_sizes_of_every_mode(mode, size, trained, tested):
    x, c = gradient(size[1], size[0]), config(preprocess=mode)
    assert preprocess(x, c, np.random.default_rng(0)).shape == (trained[1], trained[0], 2)
    assert preprocess(x, c, None).shape == (tested[1], tested[0], 2)


@pytest.mark.parametrize(
    ("mode", "load_size", "size", "made"),
    [
        ("resize_and_crop", "24x16", (40, 10), (20, 12)),
        ("crop", 16, (40, 30), (20, 12)),
        ("scale_width", 40, (20, 2), (40, 12)),  # height at least the crop's
        ("scale_width_and_crop", 24, (64, 16), (20, 12)),
    ],
)
def test_sizes_that_are_not_square(mode, load_size, size, made):
    """A crop of 20x12 pixels, width first."""
    x, c = gradient(size[1], size[0]), config(preprocess=mode, load_size=load_size, crop_size="20x12")
    for rng in (np.random.default_rng(0), None):
        y = preprocess(x, c, rng)
        assert (y.shape[1], y.shape[0]) == made == final_size(*size, c)


def test_a_crop_that_does_not_fit_names_both_sizes_and_the_file(root):
    for load_size, crop_size in ((16, "20x12"), ("24x10", "20x12"), ("16x40", "20x12")):
        with pytest.raises(UserError, match=f"--crop_size 20x12 is larger than --load_size {load_size}"):
            UnpairedDataset(config(root, load_size=load_size, crop_size=crop_size))
    with pytest.raises(UserError, match="scale_width keeps the shape of images and takes a width: --load_size 24"):
        UnpairedDataset(config(root, load_size="24x16", preprocess="scale_width"))
    write(root / "trainB" / "low.png", 40, 11)
    with pytest.raises(UserError, match=r"low\.png: 40x11 pixels, smaller than --crop_size 16x12"):
        UnpairedDataset(config(root, preprocess="crop", crop_size="16x12"))
    UnpairedDataset(config(root, preprocess="crop", crop_size="16x11"))


def test_resize_and_crop_crops_from_the_resized_image():
    x, c = gradient(40, 40), config(no_flip=True)
    whole = resize(x, 16, 16)
    crops = [preprocess(x, c, np.random.default_rng(i)) for i in range(20)]
    assert len({crop.tobytes() for crop in crops}) > 5
    places = [whole[i : i + 12, j : j + 12].tobytes() for i in range(5) for j in range(5)]
    assert all(crop.tobytes() in places for crop in crops)
    np.testing.assert_array_equal(preprocess(x, c, None), resize(x, 12, 12))


def test_testing_takes_the_centre():
    y = preprocess(gradient(20, 30), config(preprocess="crop", crop_size=16), None)
    np.testing.assert_allclose(y[0, 0] * 1000, (2, 7), atol=1e-4)
