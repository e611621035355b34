"""Does a model work, fail, collapse or lose the content? A word for each direction, by bounds set beforehand.

A direction is judged by what the model makes of the test images, four numbers each with a bound:

    distance    how far the fakes are from the target domain (train/evaluation/domain_distance.py). **fails**: by more than the
                geometric mean of what real held-out images and the untouched input have
    diversity   mean difference between two fakes, as a share of that between two true pictures. **collapses**: under 1/2
    variety     in how many independent ways the fakes differ, as a share of the true pictures' ways. **collapses**: under 1/2
    retrieval   how often the true partner is the nearest of all test images. **unfaithful**: under 1/2

Failing is looked at first, then collapse: a picture of nothing can be as diverse as it likes. What passes all four **works**.
Where B's maps have known classes (built-in streets), maps are scored as the paper scores its own, too.

Why these bounds: pictures of which it is known what is wrong were judged by them (docs/ablation.md). Differences alone do not
catch a collapse: if one street is drawn again and again, from another place each time, two pictures differ as much as two
streets do, but all in the same few ways. And halfway to the untouched input on a linear scale, as a bound, lets maps pass
in which every class has the colour of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from train.data.builtin.streets import CLASSES
from train.data.pixels import resize
from train.evaluation.evaluation import Evaluation
from train.evaluation.label_scores import label_scores
from train.evaluation.metrics import retrieval
from train.models.model import Model

SHOWN = 4  # pictures of each direction that are kept to be shown


@dataclass
class Judged:
    """What was found of a model: for each direction its numbers and some of its pictures."""

    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    fakes: dict[str, list[np.ndarray]] = field(default_factory=dict)


def judge(model: Model, evaluation: Evaluation) -> Judged:
    """Translate the test images and score what comes out."""
    config = evaluation.config
    maps = "BtoA" if config.direction == "AtoB" else "AtoB"  # what makes maps of the streets
    result = Judged()
    for direction in model.directions:
        fakes, truths = evaluation.translations(model, direction), evaluation.pictures[direction[-1]]
        table = evaluation.scores(direction, fakes)
        row = dict(table["model"], real=table["real"]["distance"], untouched=table["untouched"]["distance"])
        row["diversity"] = spread(np.stack(fakes)) / spread(np.stack(truths))
        row["variety"] = ways(fakes) / ways(truths)
        row["retrieval"] = retrieval(np.stack(fakes), np.stack(truths))
        if not config.dataroot and config.builtin == "streets" and direction == maps:
            row |= {k: v for k, v in label_scores(CLASSES, zip(fakes, truths, strict=True)).items() if k != "classes"}
        result.scores[direction], result.fakes[direction] = row, fakes[:SHOWN]
    return result


def spread(pictures: np.ndarray) -> float:
    """The mean difference between two of the pictures [N,H,W,C], N at least 2: 0 if all are one picture."""
    ordered = np.sort(pictures.astype(np.float64), axis=0)
    n = len(pictures)
    weights = 2.0 * np.arange(n) - n + 1  # of the sorted values, in the sum of the differences of all pairs
    return float(np.tensordot(weights, ordered, axes=1).mean() / (n * (n - 1) / 2))


def ways(pictures: Sequence[np.ndarray]) -> float:
    """In how many independent ways pictures [H,W,C] differ from their mean: 1 (or, if equal, 0) up to their number less one.

    The effective rank of Roy and Vetterli (2007): e to the entropy of the shares that principal components have in the
    variance. Seen at 16x16 pixels, where neither grain nor the sharpness of edges counts.
    """
    seen = np.stack([resize(x.astype(np.float32), 16, 16) for x in pictures]).reshape(len(pictures), -1)
    variances = np.linalg.svd(seen - seen.mean(axis=0, dtype=np.float64), compute_uv=False) ** 2
    if variances.sum() < 1e-12 * seen.size:
        return 0.0
    share = variances / variances.sum()
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def verdict(row: dict[str, float]) -> str:
    """In one word, by the bounds above."""
    if row["distance"] ** 2 > row["real"] * row["untouched"]:
        return "fails"
    if min(row["diversity"], row["variety"]) < 0.5:
        return "collapses"
    return "unfaithful" if row["retrieval"] < 0.5 else "works"
