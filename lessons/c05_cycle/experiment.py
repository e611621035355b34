"""Six seeds with the cycle, six without."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lessons.exhibits import NO_CYCLE, SOUND
from lessons.parts import Part, Table

SEEDS = tuple(range(6))


def show(seeds: Sequence[int] = SEEDS) -> list[Part]:
    """A table of each."""
    parts: list[Part] = []
    for exhibit, title in ((SOUND, "With the cycle, weight 10"), (NO_CYCLE, "Without: weight 0")):
        rows = []
        for seed in seeds:
            print(f"{title}, seed {seed}", file=sys.stderr)
            run = exhibit.run(seed)
            numbers = run.numbers()
            arrows = " ".join("↑→↓←"[k] for k in run.pairing())
            rows.append(
                (f"seed {seed}", arrows, *(numbers[n] for n in ("reached", "missed by", "round trip", "D", "G")))
            )
        parts.append(Table(title, ("", "corners go to", "of 4 reached", "missed by", "round trip", "D", "G"), rows))
    return parts
