"""The liars' times beside the honest one's, and what betrays each."""

from __future__ import annotations

import numpy as np

from lessons.c15_measure.liars import LIARS, fair, first_call, honest
from lessons.parts import Part, Table

SIZE = 1 << 20


def show(size: int = SIZE) -> list[Part]:
    """Two tables."""
    rng = np.random.default_rng(0)
    x, other = rng.standard_normal((2, size)).astype(np.float32)
    rows = []
    for name, run in {"honest": honest, **{name: make(honest) for name, make in LIARS.items()}}.items():
        kept = x.copy()
        first = bool(np.array_equal(run(kept), 2 * x + 1))
        untouched = bool(np.array_equal(kept, x))
        for _ in range(3):
            run(x.copy())
        later = bool(np.allclose(run(other.copy()), 2 * other + 1, atol=1e-6))
        seconds = fair({name: run}, x)[name]
        rows.append((name, f"{1e3 * seconds:.2f}", yes(first), yes(later), yes(untouched)))
    starts = first_call({"honest": honest}, x)["honest"], fair({"honest": honest}, x)["honest"]
    noise = [1e3 * fair({"honest": honest}, x, rounds=1)["honest"] for _ in range(30)]
    spread = [
        ("one call", f"{min(noise):.2f} … {max(noise):.2f}"),
        ("least of thirty", f"{1e3 * fair({'honest': honest}, x)['honest']:.2f}"),
        ("the very first call", f"{1e3 * starts[0]:.2f}"),
    ]
    return [
        Table(
            "2x + 1 on a million numbers",
            ("contestant", "ms", "right at first", "right later, on other data", "input untouched"),
            rows,
        ),
        Table("The same honest function, measured in three ways", ("", "ms"), spread),
    ]


def yes(flag: bool) -> str:
    return "yes" if flag else "**no**"
