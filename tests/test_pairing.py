"""Test images and known pairs: who is whose partner, and by what."""

import numpy as np
import pytest

from tests.folders import config, three_and_five, write
from train.augmented_cyclegan import AugmentedConfig
from train.data.agreement import agreement
from train.data.dataset import PartlyPairedDataset, UnpairedDataset
from train.data.describe import test_partners, training_images
from train.data.pairing import pair_up
from train.data.plain import paired_test, plain_images, test_samples
from train.data.sources import BUILTIN
from train.errors import UserError


@pytest.fixture
def root(tmp_path):
    return three_and_five(tmp_path)


def some_pairs(root, **changes):
    return AugmentedConfig(dataroot=str(root), **{"load_size": 16, "crop_size": 12, **changes})


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
