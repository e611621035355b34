"""Images as they are tested and shown: not augmented."""

from __future__ import annotations

import numpy as np

from train.config.settings import Config
from train.data.dataset import Sample
from train.data.pairing import pair_up
from train.data.phases import has_test, open_checked
from train.data.preprocess import preprocess
from train.data.sources import Source

Named = list[tuple[str, np.ndarray]]


def paired_test(config: Config, limit: int = 0) -> list[Sample] | None:
    """Test images with their true partners, not augmented; None unless testA and testB hold the same names, or where
    --unpaired_test says that these are no partners.

    Names count without extension, and all must match. limit: at most so many (0: all).
    """
    return pairs_of(config, open_checked(config, "test"), limit) if has_test(config) else None


def pairs_of(config: Config, sources: tuple[Source, ...], limit: int = 0) -> list[Sample] | None:
    """The same of domains A and B that are open."""
    pairing = pair_up(*sources)
    if config.unpaired_test or not pairing.complete:
        return None
    return [_plain(config, sources[0], i, sources[1], j) for i, j in pairing.pairs[: limit or None]]


def plain_images(config: Config, phase: str, limit: int = 0) -> tuple[Named, Named]:
    """The images of both domains of a phase, not augmented: lists of (name, image). limit: at most so many of each,
    spread evenly over the folder (0: all)."""
    a, b = open_checked(config, phase)
    return images_of(config, a, limit), images_of(config, b, limit)


def images_of(config: Config, source: Source, limit: int = 0) -> Named:
    """The same of one domain that is open."""
    return [(source.name(i), preprocess(source.load(i), config, None)) for i in spread(source, limit)]


def spread(source: Source, limit: int) -> list[int]:
    """The indices of at most `limit` images, spread evenly over a domain (0: of all)."""
    count = min(limit, len(source)) if limit else len(source)
    return [i * len(source) // count for i in range(count)]


def mean_image(config: Config, source: Source, limit: int = 0) -> np.ndarray | None:
    """The mean of the images [H,W,C] that `images_of` gives, read one by one; None where they differ in size."""
    total, chosen = None, spread(source, limit)
    for i in chosen:
        x = preprocess(source.load(i), config, None).astype(np.float64)
        if total is not None and total.shape != x.shape:
            return None
        total = x if total is None else total + x
    return None if total is None else (total / len(chosen)).astype(np.float32)


def test_samples(config: Config, limit: int) -> list[Sample]:
    """The first `limit` images of each domain for a sample grid, not augmented: from testA and testB where they
    exist, else from the training folders. Fewer where a domain holds fewer."""
    a, b = open_checked(config, "test" if has_test(config) else "train")
    return [_plain(config, a, i, b, i) for i in range(min(limit, len(a), len(b)))]


test_samples.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


def _plain(config: Config, a: Source, i: int, b: Source, j: int) -> Sample:
    return Sample(preprocess(a.load(i), config, None), preprocess(b.load(j), config, None), a.name(i), b.name(j))
