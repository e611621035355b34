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
from typing import Any

import numpy as np

from train.data.palette import Palette


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


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _value(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
