"""What held-out images say of a model: pairs where there are any, and the distance between domains, in both directions.

The command `python -m train.evaluate` shows all that the test images say. A run with --eval_freq asks now and then while it
trains, to choose a state or a learning rate, and never the test images: valA and valB, or else the training images.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.config.settings import Config
from train.data.describe import left_out, test_partners, white_level
from train.data.phases import has, open_checked
from train.data.plain import images_of, mean_image, pairs_of, plain_images
from train.errors import UserError
from train.evaluation.domain_distance import DomainDistance
from train.evaluation.metrics import Scores, as_loss, paired_scores
from train.models.model import Model
from train.ranks.group import ALONE, Group
from train.ranks.shards import shard

REFERENCE = 300  # training images of each domain, at most, that stand for it
BATCH = 8  # images translated at once, at most

Pictures = list[np.ndarray]


class Evaluation:
    """The images on which models are judged, read once.

    They are those of the `phase`: "test" or "val" (`held_out`), or "train", where there are no others. `truth` tells whether the
    true partner of each is known: then the images of A and B go pair by pair; `partners` says by which rule, `remarks` what
    was left out and may have been meant. `metric` is what --eval_metric comes to.
    limit: at most so many images of each domain (0: all). `cache`: a file that keeps the classifier behind the domain distance.
    `ranks` share the translating; each has all scores.
    """

    ranks: Group = ALONE

    def __init__(self, config: Config, limit: int = 0, cache: Path | None = None, phase: str = "test") -> None:
        self.config, self.cache, self.held_out = config, cache, has(config, phase)
        sources = open_checked(config, phase if self.held_out else "train")
        pairs = pairs_of(config, sources, limit) if self.held_out else None
        self.truth, self.partners = pairs is not None, test_partners(config, *sources)
        self.remarks = [*left_out(sources), *white_level(sources)]
        if pairs:
            named_a, named_b = [(p.name_a, p.a) for p in pairs], [(p.name_b, p.b) for p in pairs]
        else:
            named_a, named_b = (images_of(config, source, limit) for source in sources)
        self.names = {"A": [name for name, _ in named_a], "B": [name for name, _ in named_b]}
        self.pictures = {"A": [x for _, x in named_a], "B": [x for _, x in named_b]}
        if config.eval_metric in ("ssim", "l1", "psnr", "retrieval") and not self.truth:
            raise UserError(
                f"--eval_metric {config.eval_metric} needs {phase} images whose true partners are known, with the same names "
                f"in {phase}A and {phase}B (here {self.partners if self.held_out else 'there are none'}); leave it out, or name distance"
            )
        self.metric = {"auto": "ssim" if self.truth else "distance"}.get(config.eval_metric, config.eval_metric)
        if self.metric == "distance" and min(map(len, self.pictures.values())) < 2:
            raise UserError(
                f"the domain distance needs at least 2 {phase} images of each domain; add some to {phase}A and {phase}B"
            )
        for name, x in (*named_a, *named_b):
            if why := config.misfit(x.shape[1], x.shape[0]):
                raise UserError(
                    f"{phase} image {name}: {x.shape[1]}x{x.shape[0]} pixels do not suit the networks: {why}"
                )

    def told(self) -> str:
        """By which images best.npz and the plateau policy go."""
        count = " and ".join(f"{len(x)} of {domain}" for domain, x in self.pictures.items())
        by = "best.npz and the plateau policy go by these"
        if self.held_out:
            return f"{count}: {by}, and by no test image"
        return f"no valA and valB: {by}, training images, {count}, which flatter; python -m train.prepare --val_fraction makes them"

    @functools.cached_property
    def reference(self) -> dict[str, Pictures]:
        """Training images of both domains."""
        a, b = plain_images(self.config, "train", REFERENCE)
        return {"A": [x for _, x in a], "B": [x for _, x in b]}

    @functools.cached_property
    def mean(self) -> dict[str, np.ndarray | None]:
        """The mean training image of both domains, [H,W,C]; None where images differ in size, or there are none."""
        if not has(self.config, "train"):
            return {"A": None, "B": None}
        sources = open_checked(self.config, "train")
        return {domain: mean_image(self.config, own, REFERENCE) for domain, own in zip("AB", sources, strict=True)}

    def mean_for(self, domain: str) -> np.ndarray | None:
        """The baseline for test images of a domain: its mean training image, where all of these have its size."""
        shapes = {x.shape for x in self.pictures[domain]}
        mean = self.mean[domain] if len(shapes) == 1 else None
        return mean if mean is not None and {mean.shape} == shapes else None

    @functools.cached_property
    def distance(self) -> DomainDistance:
        """The domain distance, by a classifier trained on the reference when first asked for."""
        return DomainDistance(self.reference["A"], self.reference["B"], self.config.seed, self.cache)

    def translations(self, model: Model, direction: str) -> Pictures:
        """The images of the domain where `direction` ("AtoB" or "BtoA") starts, translated."""
        return translate_all(model, self.pictures[direction[0]], direction, self.ranks)

    def scores(self, direction: str, fakes: Pictures, distance: bool = True) -> Scores:
        """Scores of translations beside the baselines. Without pairs and distance there are none."""
        start, end = direction[0], direction[-1]
        inputs, truths = self.pictures[start], self.pictures[end]
        mean = self.mean_for(end)
        table = paired_scores(fakes, inputs, truths, mean) if self.truth else {}
        n = min(len(inputs), len(truths))  # sets of one size: a smaller one is farther from everything
        if distance and n >= 2:
            rows = {"model": fakes, "untouched": inputs}
            if mean is not None:
                rows["mean"] = [mean] * n
            if self.held_out:
                rows["real"] = truths
            for who, pictures in rows.items():
                table.setdefault(who, {})["distance"] = self.distance(pictures[:n], end)
        return table

    def __call__(self, model: Model, distance: bool = True) -> dict[str, Scores]:
        """The scores of all that a model can translate, under "A → B" and "B → A"."""
        return {
            title(direction): self.scores(direction, self.translations(model, direction), distance)
            for direction in model.directions
        }


def title(direction: str) -> str:
    """ "AtoB" as people read it."""
    return direction.replace("to", " → ")


def translate_all(model: Model, pictures: Sequence[np.ndarray], direction: str, ranks: Group = ALONE) -> Pictures:
    """Pictures [H,W,C] of any sizes translated, equal ones that follow each other together; of several ranks each makes its share
    of these batches, and all have all pictures."""
    batches: list[list[np.ndarray]] = []
    for x in pictures:
        if batches and len(batches[-1]) < BATCH and x.shape == batches[-1][0].shape:
            batches[-1].append(x)
        else:
            batches.append([x])
    mine = shard(len(batches), ranks.rank, ranks.size)
    made = [x for i in mine for x in model.translate(np.stack(batches[i]), direction)]
    return [x for theirs in ranks.gather(made) for x in theirs]


def overall(scores: dict[str, Scores], metric: str) -> float:
    """One number that falls as the model improves: its `metric` as a loss, mean over the directions."""
    return float(np.mean([as_loss(metric, table["model"][metric]) for table in scores.values()]))
