"""Images as they are tested and shown: not augmented."""

from __future__ import annotations

import numpy as np

from train.config.settings import Config
from train.data.dataset import Sample
from train.data.pairing import partners
from train.data.phases import has_test, open_checked
from train.data.preprocess import preprocess
from train.data.sources import Source

Named = list[tuple[str, np.ndarray]]


def paired_test(config: Config, limit: int = 0) -> list[Sample] | None:
    """Test images with their true partners, not augmented; None unless testA and testB hold the same names.

    Names count without extension, and all must match. limit: at most so many (0: all).
    """
    if not has_test(config):
        return None
    a, b = open_checked(config, "test")
    pairs = partners(a, b)
    return None if pairs is None else [_plain(config, a, i, b, j) for i, j in pairs[: limit or None]]


def plain_images(config: Config, phase: str, limit: int = 0) -> tuple[Named, Named]:
    """The images of both domains of a phase, not augmented: lists of (name, image). limit: at most so many of each,
    spread evenly over the folder (0: all)."""
    kept: list[Named] = []
    for source in open_checked(config, phase):
        count = min(limit, len(source)) if limit else len(source)
        chosen = [i * len(source) // count for i in range(count)]
        kept.append([(source.name(i), preprocess(source.load(i), config, None)) for i in chosen])
    return kept[0], kept[1]


def test_samples(config: Config, limit: int) -> list[Sample]:
    """The first `limit` images of each domain for a sample grid, not augmented: from testA and testB where they
    exist, else from the training folders. Fewer where a domain holds fewer."""
    a, b = open_checked(config, "test" if has_test(config) else "train")
    return [_plain(config, a, i, b, i) for i in range(min(limit, len(a), len(b)))]


test_samples.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


def _plain(config: Config, a: Source, i: int, b: Source, j: int) -> Sample:
    return Sample(preprocess(a.load(i), config, None), preprocess(b.load(j), config, None), a.name(i), b.name(j))
