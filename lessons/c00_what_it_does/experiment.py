"""Twelve trainings in the plane, on one screen."""

from __future__ import annotations

import sys

from lessons.exhibits import IDENTITY, LEAK, NO_CYCLE, POOL, SOUND, STRONG, WEAK_CYCLE, Exhibit
from lessons.parts import Part, Table
from lessons.recording import cinema, film

SOUND_ONES = "As it should be, from five different starts: "
CHANGED = "One thing changed: "
FILMS: dict[str, tuple[Exhibit, int, str]] = {
    **{
        SOUND_ONES + f"seed {seed}": (SOUND, seed, note)
        for seed, note in {
            0: "All four clusters of A land on the four of B. Switch on “and back again”: each point returns. Look at the colours under the dots: at the end they are pale, for there the discriminators no longer know.",
            1: "The same game, other random weights. Is the pairing the same?",
            3: "And once more.",
            4: "Compare with seed 0: everything turned the other way round. Both are right; nobody said which cluster belongs to which.",
            5: "The cycle holds here as well.",
        }.items()
    },
    CHANGED + "no cycle": (NO_CYCLE, 0, "The points look right where they land. But switch on “and back again”: they do not come home."),
    CHANGED + "cycle weight 1": (WEAK_CYCLE, 0, "A tenth of the usual weight. Here it is enough; of five seeds it was for four (chapter 12)."),
    CHANGED + "identity loss": (IDENTITY, 0, "G is asked in addition to leave points of B alone. A rule for points of B spills over to points of A here, for the network is small and smooth: nothing moves. In pictures the same loss is harmless (chapter 12)."),
    CHANGED + "pool of 50": (POOL, 0, "Discriminators also see older fakes. That is meant to calm the game. Here it brings nothing: with some seeds a cluster is missed."),
    CHANGED + "discriminators ten steps per step": (STRONG, 0, "D falls to almost nothing, G rises to 1: the discriminators have won, and the dots stay where they were."),
    CHANGED + "discriminators learn in the generators' turn": (LEAK, 0, "A bug that chapter 4 explains. G's loss looks splendid, far below ¼. Now look where the points are."),
}  # fmt: skip


def show() -> list[Part]:
    """The screen, and its last numbers as a table."""
    films, rows = {}, []
    for i, (name, (exhibit, seed, _)) in enumerate(FILMS.items(), 1):
        print(f"training {i} of {len(FILMS)}: {name}", file=sys.stderr)
        run, films[name] = film(exhibit, seed)
        label = name.partition(": ")[2]
        rows.append((label, " ".join("↑→↓←"[k] for k in run.pairing()), *run.numbers().values()))
    columns = ("training", "corners go to", "of 4 reached", "missed by", "round trip", "D", "G")
    table = Table(
        "After the last step",
        columns,
        rows,
        "The corners in this order: lower left, upper left, upper right, lower right. `D` and `G`: mean of the last hundred steps.",
    )
    return [cinema("Two worlds of dots", films, "", {name: note for name, (_, _, note) in FILMS.items()}), table]
