"""A ladder on the page: a bar for each rung, its length the logarithm of its time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lessons import markdown
from lessons.parts import Part, Table, card

STYLE = """<style>
.rungs { width: 100% } .rungs td:first-child { width: 46%; min-width: 190px; padding-bottom: .6em }
.rungs i { display: block; height: 7px; border-radius: 4px; margin-top: 3px; background: var(--c0) }
.rungs tr:last-child i { background: var(--c2) } .rungs small { display: block }
@media (max-width: 600px) { .rungs th, .rungs td { padding-left: .25em; padding-right: .25em; font-size: .82rem } .rungs td:first-child { min-width: 0; width: 42% } }
</style>"""


@dataclass
class Bars(Part):
    """Rungs (name, ms, rate in `unit`, share of the roof, largest error), the code that trains last."""

    title: str
    unit: str
    rungs: Sequence[tuple[str, float, float, float, float]]
    note: str = ""

    def html(self) -> str:
        times = [ms for _, ms, *_ in self.rungs]
        low = math.log(min(times)) - 0.5
        head = "".join(f"<th>{name}</th>" for name in ("rung", "ms", self.unit, "of the roof", "error"))
        rows = []
        for name, ms, rate, share, error in self.rungs:
            wide = 100 * (math.log(ms) - low) / (math.log(max(times)) - low)
            cells = "".join(f"<td>{cell}</td>" for cell in figures(ms, rate, share, error))
            rows.append(f'<tr><td>{markdown.inline(name)}<i style="width:{wide:.1f}%"></i></td>{cells}</tr>')
        table = f'<table class="rungs"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        return card(
            self.title, f'{STYLE}<div class="scroll">{table}</div>', f"{self.note} Bars: the logarithm of the time."
        )

    def text(self) -> str:
        rows = [(name, *figures(*rest)) for name, *rest in self.rungs]
        return Table(self.title, ("rung", "ms", self.unit, "of the roof", "error"), rows, self.note).text()


def figures(ms: float, rate: float, share: float, error: float) -> tuple[str, ...]:
    """Three digits of each, none of them in powers of ten but the error."""
    return (
        f"{ms:,.0f}" if ms >= 100 else f"{ms:.3g}",
        f"{rate:.0f}" if rate >= 100 else f"{rate:.2g}",
        f"{share:.0%}",
        f"{error:.0e}" if error else "none",
    )
