"""Which images of A and B belong together: those of one name."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

from train.data.sources import Source
from train.errors import shown


class Pairing(NamedTuple):
    """What names say of two domains.

    pairs    (index in A, index in B) of what has one partner, in the names' order
    alone    names without a partner, of A and of B
    twice    names that a domain holds more than once, such as "000 (000.jpg, 000.png)": which is the partner?
    """

    pairs: list[tuple[int, int]]
    alone: tuple[list[str], list[str]]
    twice: list[str]

    @property
    def complete(self) -> bool:
        """Whether every image has its partner."""
        return bool(self.pairs) and not any(self.alone) and not self.twice

    def told(self) -> str:
        """What is missing to that, such as "alone in A: a1, a2"."""
        lists = {"more than once": self.twice, "alone in A": self.alone[0], "alone in B": self.alone[1]}
        return "; ".join(
            f"{what}: {shown(', '.join(names[:3]))}{', …' if len(names) > 3 else ''}"
            for what, names in lists.items()
            if names
        )


def pair_up(a: Source, b: Source) -> Pairing:
    """The partners in two domains: of one name without extension; with it, where both domains hold just the same names."""
    names = [[source.name(i) for i in range(len(source))] for source in (a, b)]
    same = len(set(names[0])) == len(names[0]) and sorted(names[0]) == sorted(names[1])
    places = [by_name(own, (lambda name: name) if same else stem) for own in names]
    common = sorted(places[0].keys() & places[1].keys(), key=lambda key: (stem(key), key))
    alone = sorted(places[0].keys() - places[1].keys()), sorted(places[1].keys() - places[0].keys())
    twice = [
        f"{key} ({', '.join(own[i] for i in place[key])})"
        for own, place in zip(names, places, strict=True)
        for key in sorted(place)
        if len(place[key]) > 1
    ]
    pairs = [(places[0][key][0], places[1][key][0]) for key in common if all(len(place[key]) == 1 for place in places)]
    return Pairing(pairs, alone, twice)


def by_name(names: Sequence[str], key: Callable[[str], str]) -> dict[str, list[int]]:
    """The indices of names by their key. Letters with accents are one thing, however a system spells them (NFC)."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        found.setdefault(unicodedata.normalize("NFC", key(name)), []).append(i)
    return found


def stem(name: str) -> str:
    """A path without its extension."""
    return os.path.splitext(name)[0]
