"""The museum: what was measured under five seeds, and one training of each on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lessons.c12_museum.measure import Numbers, measured, numbers
from lessons.exhibits import MUSEUM, SHELF, SOUND, Exhibit
from lessons.parts import Part, Table, Words
from lessons.solutions.c11_diagnosis import examine

COLUMNS = ("missed by", "round trip", "D", "G")


def span(runs: Sequence[Numbers], name: str) -> str:
    """From the least to the most."""
    values = [run[name] for run in runs]
    low, high = (f"{v:.2f}" if v < 100 else "huge" for v in (min(values), max(values)))
    return low if low == high else f"{low} … {high}"


def row(exhibit: Exhibit, runs: Sequence[Numbers]) -> tuple[str, ...]:
    """A line of the museum; the number that tells in bold, and what chapter 11's rules say."""
    numbers = (f"**{span(runs, n)}**" if n == exhibit.tells else span(runs, n) for n in COLUMNS)
    said = dict.fromkeys(examine(run["D"], run["G"], run["round trip"]) for run in runs)
    return (exhibit.name, *numbers, ", ".join(said))


def table(title: str, exhibits: Sequence[Exhibit], runs: dict[str, list[Numbers]], note: str = "") -> Table:
    return Table(title, ("", *COLUMNS, "chapter 11 says"), [row(e, runs[e.name]) for e in (SOUND, *exhibits)], note)


def changed(exhibit: Exhibit) -> str:
    """What was done to it."""
    lines = [f"{sign} {line.strip()}" for sign, line in exhibit.change.diff()]
    lines += [f"+ {name} = {value:g}" for name, value in exhibit.settings.items()]
    return f"**{exhibit.name}**\n\n```diff\n" + "\n".join(lines) + "\n```\n"


def show(exhibits: Sequence[Exhibit] = (SOUND, *MUSEUM, *SHELF)) -> list[Part]:
    """Tables, and the lines of every exhibit."""
    here = {}
    for exhibit in exhibits:
        print(exhibit.name, file=sys.stderr)
        here[exhibit.name] = [numbers(exhibit, 0)]
    before = measured()
    parts: list[Part] = [
        table("Fails: the number in bold stands apart from every sound run under each of five seeds", MUSEUM, before, "`python -m lessons.c12_museum.measure` measured these ranges."),
        table("Does not fail here, though often said to", SHELF, before),
        Table("On this machine just now, seed 0", ("", *COLUMNS, "chapter 11 says"), [row(e, here[e.name]) for e in exhibits]),
    ]  # fmt: skip
    return [*parts, Words("## What was changed\n\n" + "\n".join(changed(e) for e in (*MUSEUM, *SHELF)))]
