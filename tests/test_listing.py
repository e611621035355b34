"""Folders of images: what is listed, what is left out, and what is said of it."""

import logging

import numpy as np
import pytest
from PIL import Image

from tests.folders import config, three_and_five, write
from train.data import deep, heif
from train.data.dataset import UnpairedDataset
from train.data.describe import white_level
from train.data.listing import pictures_below
from train.data.plain import test_samples
from train.data.sources import ImageFolder
from train.errors import UserError


@pytest.fixture
def root(tmp_path):
    return three_and_five(tmp_path)


def write_as(path, kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (200, 100, 50)).save(path, kind)


def test_folders_are_listed_recursively_sorted_and_by_extension(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.Jpeg", "sub/deep/d.webp", ".hidden.png"):
        write(tmp_path / "trainA" / name)
    (tmp_path / "trainA" / "notes.txt").write_text("no image")
    folder = ImageFolder(tmp_path / "trainA")
    assert [folder.name(i) for i in range(len(folder))] == ["a.jpg", "b.PNG", "sub/c.Jpeg", "sub/deep/d.webp"]
    assert len(ImageFolder(tmp_path / "trainA", limit=2)) == 2


def test_hidden_folders_and_those_of_systems_are_left_out_and_counted(tmp_path):
    for name in (
        "a.jpg", "b.jfif", "c.JPE", ".ipynb_checkpoints/a.jpg", "sub/.thumbnails/a.png", "__MACOSX/sub/a.png", "x/@eaDir/a.png",
    ):  # fmt: skip
        write(tmp_path / "in" / name) if not name.endswith(("jfif", "JPE")) else write_as(
            tmp_path / "in" / name, "JPEG"
        )
    for name in ("notes.txt", "old.gif", "more.GIF", "Makefile", "._a.jpg"):
        (tmp_path / "in" / name).write_text("no picture")
    listing = pictures_below(tmp_path / "in")
    assert listing.pictures == ["a.jpg", "b.jfif", "c.JPE"]
    assert listing.left_out == {
        "in .ipynb_checkpoints": 1, "in .thumbnails": 1, "in __MACOSX": 1, "in @eaDir": 1, "x .txt": 1, "x .gif": 2,
        "without ending": 1, "hidden": 1,
    }  # fmt: skip
    assert listing.told().startswith("2 x .gif, 1 ") and listing.told().endswith(", 4 kinds more")
    assert pictures_below(tmp_path / "in" / ".ipynb_checkpoints").pictures == ["a.jpg"]  # who names it means it
    assert not pictures_below(tmp_path / "in" / "nothing").pictures
    folder = ImageFolder(tmp_path / "in")
    assert len(folder) == 3 and not folder.problems and folder.load(1).shape == (16, 16, 3)
    (empty := tmp_path / "empty").mkdir()
    (empty / "a.gif").write_text("")
    assert "holds no images" in ImageFolder(empty).problems[0] and "seen: 1 x .gif" in ImageFolder(empty).problems[0]


def test_what_only_a_missing_reader_keeps_out_is_named_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(heif, "available", lambda: False)
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    write(tmp_path / "a.png")
    for name in ("b.HEIC", "c.heic", "renamed.jpg"):
        (tmp_path / name).write_bytes(head)
    folder = ImageFolder(tmp_path)
    assert folder.files == ["a.png", "renamed.jpg"]
    assert folder.listing.told() == '2 x .heic (pip install -e ".[heic]" reads them)'
    assert "renamed.jpg" in folder.problems[0] and 'a HEIC photo: pip install -e ".[heic]"' in folder.problems[0]


def test_conversions_are_stated_once(root, caplog):
    write(root / "trainA" / "gray.png", mode="L")
    write(root / "trainA" / "gray2.png", mode="L")
    write(root / "trainB" / "clear.png", mode="RGBA")
    with caplog.at_level(logging.WARNING):
        dataset = UnpairedDataset(config(root))
        for i in range(len(dataset)):
            dataset.sample(0, i)
        test_samples(config(root), 2)
    assert [record.getMessage() for record in caplog.records] == [
        "2 of 5 images in trainA are grayscale; read as RGB",
        "1 of 6 images in trainB are RGBA; read as RGB, transparency laid on white",
    ]


def test_where_the_values_of_16_bits_end_is_said_for_the_folder(root):
    for i in range(20):
        Image.fromarray(np.full((16, 16), 4000 + i, np.uint16)).save(root / "trainA" / f"deep{i:02}.png")
    write(root / "trainB" / "gray.png", mode="L")
    c = config(root, input_nc=1, output_nc=1)
    dataset = UnpairedDataset(c)
    (line,) = white_level((dataset.a, dataset.b))
    assert line.startswith("20 images of trainA have 16 bits, and in 8 of them values end at 4017 of 65535")
    assert "--white_level 4095" in line and dataset.sample(0, 0).a.max() <= 1
    stretched = UnpairedDataset(c.replace(white_level=4095))
    assert (
        not white_level((stretched.a, stretched.b))
        and stretched.a.load(10).max() > 0.9 > -0.8 > dataset.a.load(10).max()
    )
    (line,) = white_level([UnpairedDataset(c.replace(white_level=255)).a])
    assert "beyond --white_level 255" in line


def test_sixteen_bits_of_colour_that_are_read_with_eight_are_said(root, monkeypatch):
    (root / "trainA" / "deep.png").write_bytes(deep.encode(np.zeros((16, 16, 3), np.uint16), ".png"))
    assert not ImageFolder(root / "trainA").conversions()
    monkeypatch.setattr(deep, "available", lambda: False)
    assert ImageFolder(root / "trainA").conversions() == [
        '1 of 4 images in trainA have 16 bits in colour; read with 8, or with all by pip install -e ".[deep]"'
    ]


def test_each_domain_has_its_own_channel_count(root):
    sample = UnpairedDataset(config(root, input_nc=1, output_nc=3)).sample(0, 0)
    assert sample.a.shape == (12, 12, 1) and sample.b.shape == (12, 12, 3)
    assert UnpairedDataset(config(input_nc=1)).sample(0, 0).a.shape == (12, 12, 1)
    with pytest.raises(UserError, match="4 channels, 5 were asked for"):
        UnpairedDataset(config(root, output_nc=5))
