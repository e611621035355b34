"""Which images of A and B belong together: those of one name."""

from __future__ import annotations

import os

from train.data.sources import Source


def partners(a: Source, b: Source) -> list[tuple[int, int]] | None:
    """(index in A, index in B) of the images of one name, in the names' order; None unless each has its partner."""
    where = stems(a), stems(b)
    if where[0].keys() != where[1].keys() or not len(where[0]) == len(a) == len(b):
        return None
    return [(where[0][stem], where[1][stem]) for stem in sorted(where[0])]


def stems(source: Source) -> dict[str, int]:
    """The index of each image, by its name without extension."""
    return {os.path.splitext(source.name(i))[0]: i for i in range(len(source))}
