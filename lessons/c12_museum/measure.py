"""Every exhibit under five seeds, and sound runs under ten: `python -m lessons.c12_museum.measure` writes measured.json (two minutes of CPU)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lessons.c17_many.experiment import rarer
from lessons.exhibits import MUSEUM, SHELF, SOUND, Exhibit

FILE = Path(__file__).with_name("measured.json")
SEEDS = range(5)
MORE = range(5, 10)  # under which sound runs are measured too, for false alarms

Numbers = dict[str, float]


def measured() -> dict[str, list[Numbers]]:
    """What the file holds: exhibit -> numbers of each seed."""
    return json.loads(FILE.read_text("utf-8"))


def numbers(exhibit: Exhibit, seed: int) -> Numbers:
    """What one training ends with; numbers that ran away are cut at a million."""
    return {name: round(min(float(value), 1e6), 4) for name, value in exhibit.run(seed).numbers().items()}


def apart(exhibit: Exhibit, broken: list[Numbers], sound: list[Numbers]) -> bool:
    """Whether the number that tells is beyond every sound run under every seed."""
    mine, theirs = [n[exhibit.tells] for n in broken], [n[exhibit.tells] for n in sound]
    return min(mine) > max(theirs) if exhibit.direction == "higher" else max(mine) < min(theirs)


def main() -> None:
    found = {}
    for exhibit in (SOUND, *MUSEUM, *SHELF):
        print(exhibit.name, file=sys.stderr)
        found[exhibit.name] = [numbers(exhibit, seed) for seed in (*SEEDS, *(MORE if exhibit is SOUND else ()))]
    for weight in (10.0, 0.0):
        print(f"one gray cluster, cycle weight {weight:g}", file=sys.stderr)
        found[f"one gray cluster, cycle weight {weight:g}"] = [
            {"rarer answer": round(rarer(seed, weight), 4)} for seed in SEEDS
        ]
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(values)}" for name, values in found.items())
    FILE.write_text(f"{{\n{lines}\n}}\n", "utf-8")


if __name__ == "__main__":
    main()
