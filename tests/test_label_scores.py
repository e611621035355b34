"""FCN-style scores against examples worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from train.data.palette import palette, read_palette
from train.errors import UserError
from train.evaluation.label_scores import label_scores, scores_of

RGB = palette([("red", (255, 0, 0)), ("green", (0, 255, 0)), ("blue", (0, 0, 255))])


def picture(letters: str) -> np.ndarray:
    """A one-row label map [1,W,3] in [-1, 1]: r g b, k black."""
    colours = {"r": (1, -1, -1), "g": (-1, 1, -1), "b": (-1, -1, 1), "k": (-1, -1, -1)}
    return np.array([[colours[letter] for letter in letters]], np.float32)


def test_worked_example() -> None:
    """Truth rrrrggb against rrrggrb: rows of the matrix (3 1 0), (1 1 0), (0 0 1)."""
    got = label_scores(RGB, [(picture("rrrg" + "gr" + "b"), picture("rrrr" + "gg" + "b"))])
    assert got["pixel_accuracy"] == pytest.approx(5 / 7)
    assert got["class_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert got["class_iou"] == pytest.approx((3 / 5 + 1 / 3 + 1) / 3)
    assert got["classes"]["red"] == pytest.approx({"accuracy": 3 / 4, "iou": 3 / 5, "share": 4 / 7})


def test_counted_over_the_whole_set_not_averaged_over_images() -> None:
    """Three right pixels of one image and one wrong of another: 3/4, where a mean over images would say 1/2."""
    got = label_scores(RGB, [(picture("rrr"), picture("rrr")), (picture("g"), picture("r"))])
    assert got["pixel_accuracy"] == 3 / 4


def test_classes_absent_from_truth() -> None:
    """Blue nowhere: left out. Green given, never true: IoU 0 counts, its accuracy 0/0 does not."""
    got = label_scores(RGB, [(picture("rrrg"), picture("rrrr"))])
    assert got["classes"]["blue"] == {"accuracy": None, "iou": None, "share": 0}
    assert got["classes"]["green"] == {"accuracy": None, "iou": 0, "share": 0}
    assert got["class_accuracy"] == 3 / 4
    assert got["class_iou"] == (3 / 4 + 0) / 2


def test_against_the_sums_written_out() -> None:
    counts = np.random.default_rng(0).integers(1, 100, (5, 5))
    got = scores_of(counts, "abcde")
    union = [sum(counts[i]) + sum(counts[:, i]) - counts[i, i] for i in range(5)]
    assert got["class_iou"] == pytest.approx(sum(counts[i, i] / union[i] for i in range(5)) / 5)
    assert got["class_accuracy"] == pytest.approx(sum(counts[i, i] / sum(counts[i]) for i in range(5)) / 5)


def test_ignored_pixels_count_nowhere_and_are_never_given() -> None:
    """A black pixel is void in the truth; in a translation it is the nearest scored class."""
    with_void = palette([("void", (0, 0, 0)), ("red", (255, 0, 0)), ("green", (0, 250, 0))])
    assert with_void.names == ("red", "green", "void") and with_void.scored == 2
    got = label_scores(with_void, [(picture("grk"), picture("krg"))])
    assert got["pixel_accuracy"] == 1  # the first is ignored; the last, black, is nearer to (0, 250, 0) than to red
    assert math.isnan(label_scores(with_void, [(picture("r"), picture("k"))])["pixel_accuracy"])


def test_nearest_colour() -> None:
    x = np.array([[[0.9, -0.2, -1.0], [-0.1, 0.0, -0.1], [0.0, 0.0, -1.0]]], np.float32)
    assert RGB.classes(x).tolist() == [[0, 1, 0]]  # the last is as far from red as from green: the first wins


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0 0 0 a\n1 2 b\n", "line 2"),
        ("0 0 0 a\n1 2 300 b\n", "line 2"),
        ("0 0 0 a\n# 1 1 1 b\n", "1 classes"),
        ("0 0 0 a\n0 0 0 b\n", "colour (0, 0, 0) stands twice"),
        ("0 0 0 a\n1 0 0 a\n", "name a stands twice"),
    ],
)
def test_bad_palettes(text: str, told: str, tmp_path) -> None:
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(UserError, match=told.replace("(", r"\(").replace(")", r"\)")):
        read_palette(tmp_path / "p.txt")


def test_palette_file(tmp_path) -> None:
    (tmp_path / "p.txt").write_text("# classes\n0,0,0 void\n128 64 128 the road\n\n70 70 70 building\n1 1 1 void\n")
    (tmp_path / "windows.txt").write_text((tmp_path / "p.txt").read_text().replace("# classes\n", ""), "utf-8-sig")
    got = read_palette(tmp_path / "p.txt")
    assert (
        read_palette(tmp_path / "windows.txt").names == got.names
    )  # no matter what mark its editor put before the text
    assert got.names == ("the road", "building", "void", "void") and got.colours[0].tolist() == [128, 64, 128]
    with pytest.raises(UserError, match="cannot be read"):
        read_palette(tmp_path / "none.txt")
    with pytest.raises(UserError, match="3 channels"):
        got.classes(np.zeros((2, 2, 1)))
