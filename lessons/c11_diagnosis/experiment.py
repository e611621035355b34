"""Six patients: films without a name."""

from __future__ import annotations

import sys

from lessons.exhibits import LARGE_CYCLE, LEAK, NO_CYCLE, SOUND, STRONG, SWAPPED, Exhibit
from lessons.parts import Part, Table
from lessons.recording import cinema, film

PATIENTS: dict[str, tuple[Exhibit, int]] = {
    "P": (STRONG, 1), "Q": (SOUND, 5), "R": (SWAPPED, 2), "S": (NO_CYCLE, 1), "T": (LARGE_CYCLE, 3), "U": (LEAK, 4),
}  # fmt: skip


def show(patients: str = "PQRSTU") -> list[Part]:
    """Their films on one screen, and their last numbers."""
    films, rows = {}, []
    for name in patients:
        print(f"patient {name}", file=sys.stderr)
        run, films[f"Patients: {name}"] = film(*PATIENTS[name])
        rows.append((name, *(run.numbers()[n] for n in ("reached", "missed by", "round trip", "D", "G"))))
    table = Table("After the last step", ("patient", "of 4 reached", "missed by", "round trip", "D", "G"), rows)
    return [cinema("Six patients", films, "", {}), table]
