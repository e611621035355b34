"""Data sets: what is listed, in which order it comes, how it is cropped, and what is said when it cannot be used."""

import logging

import numpy as np
import pytest
from PIL import Image

from train.augmented_cyclegan import AugmentedConfig
from train.config.settings import Config
from train.data import deep, heif
from train.data.agreement import agreement
from train.data.dataset import PartlyPairedDataset, UnpairedDataset
from train.data.describe import test_partners, training_images, white_level
from train.data.images import load_image
from train.data.listing import pictures_below
from train.data.pairing import pair_up
from train.data.pixels import resize
from train.data.plain import paired_test, plain_images, test_samples
from train.data.preprocess import final_size, preprocess
from train.data.sources import BUILTIN, ImageFolder
from train.errors import UserError


def write(path, width=16, height=16, seed=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def write_as(path, kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (200, 100, 50)).save(path, kind)


@pytest.fixture
def root(tmp_path):
    """Three images in trainA, five in trainB."""
    for i in range(3):
        write(tmp_path / "trainA" / f"a{i}.png", seed=i)
    for i in range(5):
        write(tmp_path / "trainB" / f"b{i}.png", seed=10 + i)
    return tmp_path


def config(root="", **changes):
    return Config(dataroot=str(root), **{"load_size": 16, "crop_size": 12, **changes})


def some_pairs(root, **changes):
    return AugmentedConfig(dataroot=str(root), **{"load_size": 16, "crop_size": 12, **changes})


def gradient(height, width):
    """[H,W,2] whose channels are the row and the column: a crop tells where it was taken."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return np.stack([rows, columns], -1).astype(np.float32) / 1000


# --- listing ---------------------------------------------------------------------------------------------------------


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


# --- order -----------------------------------------------------------------------------------------------------------


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


# --- samples ---------------------------------------------------------------------------------------------------------


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


# --- test images -----------------------------------------------------------------------------------------------------


def test_built_in_scenes_are_unpaired_in_training_and_paired_in_testing():
    c = config(load_size=32, crop_size=32)
    dataset = UnpairedDataset(c)
    names = [{s.name(i) for i in range(len(s))} for s in (dataset.a, dataset.b)]
    pairs = paired_test(c)
    assert len(names[0]) == len(names[1]) == 100 and len(pairs) == 32
    tested = {pair.name_a for pair in pairs}
    assert not names[0] & names[1] and not tested & (names[0] | names[1])
    assert all(pair.name_a == pair.name_b and pair.a.shape == (32, 32, 3) for pair in pairs)
    assert len(paired_test(c, 3)) == 3 and len(test_samples(c, 4)) == 4


def test_some_images_of_a_folder_are_spread_over_it(root):
    a, b = plain_images(config(root), "train", 2)
    assert [name for name, _ in a] == ["a0.png", "a1.png"] and [name for name, _ in b] == ["b0.png", "b2.png"]
    assert [len(images) for images in plain_images(config(root), "train")] == [3, 5]


def test_test_folders_are_paired_by_stem(root):
    assert paired_test(config(root)) is None
    assert [s.name_a for s in test_samples(config(root), 2)] == ["a0.png", "a1.png"]
    for i in (2, 0, 1):
        write(root / "testA" / f"t{i}.png", seed=i)
        write(root / "testB" / f"t{i}.bmp", seed=i)
    pairs = paired_test(config(root))
    assert [(p.name_a, p.name_b) for p in pairs] == [(f"t{i}.png", f"t{i}.bmp") for i in range(3)]
    np.testing.assert_array_equal(pairs[1].a, pairs[1].b)
    assert len(paired_test(config(root), 2)) == 2
    assert [s.name_b for s in test_samples(config(root), 9)] == ["t0.bmp", "t1.bmp", "t2.bmp"]
    write(root / "testB" / "t1.png")  # a second partner for t1
    assert paired_test(config(root)) is None
    (root / "testB" / "t1.png").unlink()
    (root / "testB" / "t1.bmp").rename(root / "testB" / "odd.bmp")
    assert paired_test(config(root)) is None


@pytest.mark.parametrize(
    ("a", "b", "pairs", "told"),
    [
        ("1.png 2.png", "2.jpg 1.bmp", [(0, 1), (1, 0)], ""),
        ("1.png 1.jpg", "1.png 1.jpg", [(1, 1), (0, 0)], ""),  # the same files in both: by their whole names
        ("1.png 1.jpg 2.png", "1.png 2.png", [(2, 1)], "more than once: 1 (1.png, 1.jpg)"),
        ("u/1.png v/1.png", "u/1.png", [(0, 0)], "alone in A: v/1"),
        ("caf\u00e9.png", "cafe\u0301.jpg", [(0, 0)], ""),  # as Linux and a Mac spell it
        ("1.png 2.png 3.png 4.png", "x.png", [], "alone in A: 1, 2, 3, …; alone in B: x"),
    ],
)
def test_partners_are_told_by_name(a, b, pairs, told):
    class Named:
        def __init__(self, names):
            self.names = names.split()

        def __len__(self):
            return len(self.names)

        def name(self, i):
            return self.names[i]

    pairing = pair_up(Named(a), Named(b))
    assert pairing.pairs == pairs and pairing.told() == told and pairing.complete == (not told)


@pytest.mark.parametrize("builtin", ["scenes", "streets", "colours"])
def test_edges_tell_partners_from_strangers(builtin):
    draw = BUILTIN[builtin][0]
    a, b = ([draw(domain, seed, 48) for seed in range(6)] for domain in "AB")
    own, others, partners = agreement(a, b)
    assert partners and own > others + 0.1
    for strangers in (b[1:] + b[:1], [draw("B", seed, 48) for seed in range(100, 106)], [np.zeros_like(x) for x in b]):
        assert not agreement(a, strangers)[2]
    assert agreement(a, [-x[..., :1] for x in b])[2]  # of other colours and channels


def test_one_line_says_what_was_found_and_left_out(root):
    write(root / "trainA" / ".ipynb_checkpoints" / "a0.png")
    (root / "trainB" / "notes.txt").write_text("x")
    for folder in ("testA", "valA", "valB", "B/C"):
        write(root / folder / "t.png")
    assert training_images(UnpairedDataset(config(root))) == (
        f"{root}: 3 images of A, 5 of B, unpaired; left out of trainA: 1 in .ipynb_checkpoints; left out of trainB: 1 x .txt; "
        "not used: B, testA (without testB), valA, valB"
    )
    assert training_images(UnpairedDataset(config(root, eval_freq=1))).endswith("not used: B, testA (without testB)")
    write(root / "testB" / "t.png")
    (root / "testB" / "t.gif").write_text("x")
    dataset = UnpairedDataset(config(root))
    assert "left out of testB: 1 x .gif; not used: B, valA" in training_images(dataset)
    assert test_partners(dataset.config, *dataset.test).startswith(
        "1 pairs, because testA and testB hold the same names; "
    )
    assert training_images(UnpairedDataset(config())).endswith("): 100 images of A, 100 of B, unpaired")
    with pytest.raises(UserError, match=r"holds the folders trainA and trainB; seen there: C"):
        UnpairedDataset(config(root / "B"))


def test_a_share_of_the_pairs_is_known_and_goes_round(root):
    for i in range(4):
        write(root / "trainA" / f"p{i}.png", seed=20 + i)
        write(root / "trainB" / f"p{i}.bmp", seed=20 + i)
    data = PartlyPairedDataset(some_pairs(root, sup_frac=0.75))
    assert (
        len(data) == 9 and len(data.known) == 3 and all(data.a.name(i)[:2] == data.b.name(j)[:2] for i, j in data.known)
    )
    run = [data.sample(epoch, i) for epoch in (1, 2) for i in range(9)]
    plain = UnpairedDataset(config(root))
    for i, sample in enumerate(run):
        assert np.array_equal(sample.b, plain.sample(1 + i // 9, i % 9).b)  # the unrelated ones are as without pairs
        assert np.array_equal(sample.pair.a, sample.pair.b)  # one picture here, cropped and mirrored alike
    seen = [s.pair.name_a for s in run]
    assert all(
        set(seen[i : i + 3]) == {data.a.name(i) for i, _ in data.known} for i in range(0, 18, 3)
    )  # each in its turn
    again = PartlyPairedDataset(some_pairs(root, sup_frac=0.75)).sample(2, 3).pair
    assert np.array_equal(again.a, run[12].pair.a) and np.array_equal(again.b, run[12].pair.b)
    known = {tuple(PartlyPairedDataset(some_pairs(root, sup_frac=0.75, seed=seed)).known) for seed in range(8)}
    assert len(known) > 2  # which are known, the seed says
    drawn = PartlyPairedDataset(AugmentedConfig(load_size=16, crop_size=16, sup_frac=0.1))
    assert len(drawn.known) == 10 and drawn.a.name(7) == drawn.b.name(7)


def test_pairs_that_cannot_be_used_are_told(root):
    with pytest.raises(UserError, match=r"--sup_frac 0.1: .*alone in A: a0, a1, a2; alone in B: b0, b1, b2, …"):
        PartlyPairedDataset(some_pairs(root, sup_frac=0.1))
    write(root / "trainA" / "p.png")
    write(root / "trainB" / "p.png", width=20)
    with pytest.raises(UserError, match=r"must have one size: .*p.png 16x16 and .*p.png 20x16"):
        PartlyPairedDataset(some_pairs(root, sup_frac=0.1, preprocess="crop"))


def test_direction_swaps_test_images_too(root):
    write(root / "testA" / "t.png", seed=1)
    write(root / "testB" / "t.bmp", seed=2)
    (pair,) = paired_test(config(root, direction="BtoA"))
    assert (pair.name_a, pair.name_b) == ("t.bmp", "t.png")


# --- what cannot be used ---------------------------------------------------------------------------------------------


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
