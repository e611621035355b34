"""What is said of images that cannot be used."""

import pytest

from tests.folders import config, three_and_five, write
from train.data.dataset import UnpairedDataset
from train.errors import UserError


@pytest.fixture
def root(tmp_path):
    return three_and_five(tmp_path)


def test_missing_and_empty_folders_are_told_together(tmp_path):
    (tmp_path / "trainA").mkdir()
    with pytest.raises(UserError) as error:
        UnpairedDataset(config(tmp_path))
    text = str(error.value)
    assert "trainA: holds no images" in text and "trainB: there is no such folder" in text and "--dataroot" in text


def test_all_bad_files_are_counted_and_five_are_named(root):
    for i in range(7):
        (root / "trainA" / f"bad{i}.jpg").write_text("no")
    with pytest.raises(UserError) as error:
        UnpairedDataset(config(root))
    text = str(error.value)
    assert all(f"bad{i}.jpg" in text for i in range(5)) and "bad5" not in text and "2 more" in text


def test_bad_test_images_are_found_before_training(root):
    write(root / "testA" / "t.png")
    (root / "testB").mkdir()
    (root / "testB" / "t.png").write_text("no")
    with pytest.raises(UserError, match=r"testB.t\.png"):
        UnpairedDataset(config(root))


def test_images_smaller_than_the_crop_are_named_where_it_matters(root):
    write(root / "trainB" / "tiny.png", 40, 11)
    with pytest.raises(UserError, match=r"tiny\.png: 40x11 pixels, smaller than --crop_size 12"):
        UnpairedDataset(config(root, preprocess="crop"))
    for mode in ("resize_and_crop", "scale_width_and_crop", "scale_width", "none"):
        UnpairedDataset(config(root, preprocess=mode))
    with pytest.raises(UserError, match="--crop_size 20 is larger than --load_size 16"):
        UnpairedDataset(config(root, crop_size=20))
    with pytest.raises(UserError, match=r"built-in pictures.*16x16"):
        UnpairedDataset(config(crop_size=20, preprocess="crop"))


def test_a_batch_needs_one_size(root):
    write(root / "trainB" / "wide.png", 40, 20)
    UnpairedDataset(config(root, preprocess="none"))
    UnpairedDataset(config(root, preprocess="crop", batch_size=2))
    for mode in ("none", "scale_width"):
        with pytest.raises(UserError, match=rf"--batch_size 2.*--preprocess {mode}.*wide\.png.*resize_and_crop"):
            UnpairedDataset(config(root, preprocess=mode, batch_size=2))
