"""All scores that were asked for, of one model on one set of test images: `train.evaluate` without its words and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from train.data.builtin.streets import CLASSES
from train.data.palette import Palette
from train.errors import UserError
from train.evaluation.evaluation import Evaluation, Pictures, translate_all
from train.evaluation.inception import Inception
from train.evaluation.label_scores import label_scores
from train.evaluation.metrics import Scores


@dataclass(frozen=True)
class Asked:
    """Which scores, besides those of pairs.

    palette     the classes of label maps (default: those of the built-in streets, if these are the data)
    maps        the domain that is label maps, "A" or "B" (default: B; of the built-in streets the one that is)
    segmenter   a model photo -> label map: it reads the photos that are made from maps
    """

    palette: Palette | None = None
    maps: str = ""
    segmenter: Any = None
    distance: bool = True
    fid: bool = False

    def on(self, evaluation: Evaluation, directions: Sequence[str]) -> Asked:
        """This with the defaults that the data have. UserError for what cannot be scored on them."""
        config = evaluation.config
        streets = not config.dataroot and config.builtin == "streets"
        palette = self.palette or (CLASSES if streets else None)
        maps = self.maps or ("A" if streets and config.direction == "AtoB" else "B")
        if palette and not evaluation.truth:
            raise UserError(
                "--palette needs the true label map of each test image, of the same name in testA and testB"
            )
        if self.segmenter and not palette:
            raise UserError("--segmenter reads classes, so it needs --palette too")
        if self.segmenter:
            seen, takes = evaluation.pictures["B" if maps == "A" else "A"][0].shape[2], self.segmenter.config.input_nc
            if seen != takes:
                raise UserError(f"--segmenter reads photos of {takes} channels; these have {seen}")
        if self.palette and not self.segmenter and not any(direction[-1] == maps for direction in directions):
            raise UserError(f"--label_domain {maps}: there is no generator that makes pictures of it")
        if not self.distance and not (evaluation.truth or self.fid):
            raise UserError(
                "nothing to score: the true partners of the test images are not known; leave --no_distance out"
            )
        return replace(self, palette=palette, maps=maps)


@dataclass
class Scored:
    """By direction the table of scores and the translations; and the scores of each class of label maps, by who."""

    tables: dict[str, Scores] = field(default_factory=dict)
    fakes: dict[str, Pictures] = field(default_factory=dict)
    classes: dict[str, Any] = field(default_factory=dict)


def score(model: Any, evaluation: Evaluation, asked: Asked) -> Scored:
    """Translate the test images in all directions of `model` and score what comes out."""
    found = Scored()
    for direction in model.directions:
        made = found.fakes[direction] = evaluation.translations(model, direction)
        table = found.tables[direction] = evaluation.scores(direction, made, asked.distance)
        if asked.palette and direction[-1] == asked.maps:
            found.classes = score_labels(asked.palette, evaluation, direction, made, table)
        elif asked.palette and asked.segmenter:
            score_photos(asked.palette, asked.segmenter, evaluation, direction, made, table)
    return found


def score_labels(
    palette: Palette, evaluation: Evaluation, direction: str, made: Pictures, table: Scores
) -> dict[str, Any]:
    """Add the label scores to the rows of `table`; the scores of each class, by who and class."""
    truths = evaluation.pictures[direction[-1]]
    answers = {"model": made, "untouched": evaluation.pictures[direction[0]]}
    mean = evaluation.mean_for(direction[-1])
    if mean is not None:
        answers["mean"] = [mean] * len(truths)
    classes: dict[str, Any] = {}
    for who, pictures in answers.items():
        if who in table:
            scores = label_scores(palette, zip(pictures, truths, strict=True))
            classes[who] = scores.pop("classes")
            table[who] |= scores
    return classes


def score_photos(
    palette: Palette, segmenter: Any, evaluation: Evaluation, direction: str, made: Pictures, table: Scores
) -> None:
    """Add the paper's FCN scores: the classes that `segmenter` reads in a photo, against the map it was made from.

    The row "real" is what it reads in the true photos: it errs too, and nobody can do much better than that.
    """
    for who, pictures in {"model": made, "real": evaluation.pictures[direction[-1]]}.items():
        read = translate_all(segmenter, pictures, "AtoB", evaluation.ranks)
        scores = label_scores(palette, zip(read, evaluation.pictures[direction[0]], strict=True))
        table.setdefault(who, {}).update({name: scores[name] for name in scores if name != "classes"})


def score_fid(scored: Scored, evaluation: Evaluation, library: Inception) -> None:
    """Add FID and KID to the rows of all tables, against the target's training images. UserError where the library fails: what
    was scored before that stays."""
    for direction, made in scored.fakes.items():
        start, end = direction[0], direction[-1]
        rows = {"model": made, "untouched": evaluation.pictures[start]}
        if evaluation.held_out:
            rows["real"] = evaluation.pictures[end]
        for who, pictures in rows.items():
            found = library.score(pictures, evaluation.reference[end], end)
            scored.tables[direction].setdefault(who, {}).update(found)
