"""FCN-style scores: how right is a translated label map? For data sets in which one domain is a map of classes.

Each pixel becomes the class whose palette colour is nearest, in the truth and in the translation, and pixels are counted
in one confusion matrix over the whole test set, n[i, j] = pixels of true class i that were given class j. Then
(Long, Shelhamer, Darrell 2015, section 5; these are the names of Tables 2 and 3 of the CycleGAN paper):

    pixel_accuracy   sum_i n[i,i] / sum_ij n[i,j]
    class_accuracy   mean over classes of  n[i,i] / sum_j n[i,j]
    class_iou        mean over classes of  n[i,i] / (sum_j n[i,j] + sum_j n[j,i] - n[i,i])

A class that is 0/0 (in no true pixel; for class_iou: in no true and no given pixel) is left out of the mean. The
often-copied Cityscapes script adds 1e-12 to each denominator instead, and so counts such classes as 0: on a test set
that lacks some classes its means are lower than these. A class that is given but never true counts with IoU 0.

The paper's score of the *other* direction, labels -> photo, runs a segmentation network (FCN-8s) on the translated photo.
Here a run of train.pix2pix, taught photo -> label map on true pairs, takes its place: `train.evaluate --segmenter`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from train.data.images import to_uint8
from train.errors import UserError

IGNORED = frozenset({"ignore", "void", "unlabeled"})  # true pixels of a class of this name are not counted


@dataclass(frozen=True)
class Palette:
    """The classes of a label map: their names and colours, uint8 [K,3]. Ignored ones come last and are never given."""

    names: tuple[str, ...]
    colours: np.ndarray

    @property
    def scored(self) -> int:
        """The number of classes that are not ignored."""
        return sum(name not in IGNORED for name in self.names)

    def classes(self, x: np.ndarray, *, given: bool = False) -> np.ndarray:
        """Label maps [...,3] in [-1, 1] as class numbers [...]; nearest in Euclidean distance of the 8-bit colours that
        would be saved, the first of equals. `given`: a translation, which is matched to the scored classes only."""
        if x.shape[-1] != 3:
            raise UserError(f"label maps are told by colour and need 3 channels (RGB), these have {x.shape[-1]}")
        colours = (self.colours[: self.scored] if given else self.colours).astype(np.float64)  # [K,3]
        pixels = to_uint8(x).reshape(-1, 3).astype(np.float64)  # whole numbers: distances are exact
        nearest = ((colours**2).sum(axis=1) - 2 * pixels @ colours.T).argmin(axis=1)  # |pixel|² is the same for all
        return nearest.reshape(x.shape[:-1])


def label_scores(palette: Palette, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Scores of (translation, truth), each [H,W,3] or [N,H,W,3] in [-1, 1], over all pairs together.

    Returns pixel_accuracy, class_accuracy and class_iou, fractions (NaN when no pixel counts), and under "classes" each
    class's name -> {"accuracy", "iou", "share"}; None where 0/0; share: of the true pixels.
    """
    counts = np.zeros((palette.scored, palette.scored), np.int64)
    for fake, truth in pairs:
        if fake.shape != truth.shape:
            raise ValueError(f"wanted translation and truth of one shape, got {fake.shape} and {truth.shape}")
        counts += confusion(palette.classes(truth), palette.classes(fake, given=True), palette.scored)
    return scores_of(counts, palette.names)


def confusion(truth: np.ndarray, given: np.ndarray, classes: int) -> np.ndarray:
    """Pixel counts [classes,classes]: row true class, column given class. True classes >= `classes` are not counted."""
    seen = truth < classes
    return np.bincount(truth[seen] * classes + given[seen], minlength=classes**2).reshape(classes, classes)


def scores_of(counts: np.ndarray, names: Iterable[str]) -> dict[str, Any]:
    """The scores of a confusion matrix [K,K], as `label_scores` returns them."""
    hits, true, given = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)  # [K] each
    with np.errstate(invalid="ignore"):
        accuracy, iou, share = hits / true, hits / (true + given - hits), true / true.sum()
        pixel = hits.sum() / true.sum()
    rows = zip(names, accuracy, iou, share, strict=False)  # names goes on with the ignored classes
    return {
        "pixel_accuracy": float(pixel),
        "class_accuracy": _mean(accuracy),
        "class_iou": _mean(iou),
        "classes": {name: {"accuracy": _value(a), "iou": _value(i), "share": _value(s)} for name, a, i, s in rows},
    }


def read_palette(path: str | Path) -> Palette:
    """A palette from a text file: a line `R G B name` for each class, 0 to 255; lines that begin with # are comments.

    Classes named ignore, void or unlabeled are not scored, and several may bear such a name. UserError names the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--palette {path}: cannot be read ({error}); wanted a text file of lines `R G B name`"
        ) from error
    rows: list[tuple[str, tuple[int, ...]]] = []
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 4 or not all(w.isdecimal() and int(w) < 256 for w in words[:3]):
            raise UserError(
                f"--palette {path}, line {number}: {line!r}; wanted `R G B name`, such as `128 64 128 road`"
            )
        rows.append((" ".join(words[3:]), tuple(map(int, words[:3]))))
    return palette(rows, f"--palette {path}")


def palette(rows: Iterable[tuple[str, tuple[int, ...]]], where: str = "the palette") -> Palette:
    """A palette from (name, (R, G, B)) rows. UserError for fewer than two classes, or a name or colour used twice."""
    rows = sorted(rows, key=lambda row: row[0] in IGNORED)  # stable: the scored ones keep their order
    names, colours = [name for name, _ in rows], [colour for _, colour in rows]
    scored = [name for name in names if name not in IGNORED]
    if len(scored) < 2:
        raise UserError(
            f"{where} holds {len(scored)} classes to score; wanted at least 2, a line `R G B name` for each"
        )
    for kind, items in (("name", scored), ("colour", colours)):
        if twice := [item for i, item in enumerate(items) if item in items[:i]]:
            raise UserError(f"{where}: the {kind} {twice[0]} stands twice; classes are told apart by both")
    return Palette(tuple(names), np.array(colours, np.uint8))


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _value(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
