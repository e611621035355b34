"""Rows as tables for people: one line per contestant, errors in words where a speed would stand."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.harness import Row, ratios, spread


def render(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned for reading as it is: first column left, the others right."""
    widths = [max(len(cell) for cell in column) for column in zip(head, *lines, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i < 1 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (w + 2) if i < 1 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *map(line, lines)])


def contests(rows: list[Row]) -> str:
    """The table of `step` and `translate`, one block per work, and our ratio to the better of torch's layouts."""
    blocks = []
    for work in dict.fromkeys(row["work"] for row in rows):
        mine = [row for row in rows if row["work"] == work]
        head = [
            work,
            "s (range)",
            "GFLOP/s",
            "executed",
            "of product",
            "ours/it (range)",
            "peak MB",
            "ours/it",
            "first result s",
            "ours/it",
        ]
        notes = [f"{row['provider']}: {row['error']}" for row in mine if "error" in row]
        lines = [_contest_line(row) for row in mine if "error" not in row]
        blocks.append("\n".join([render(head, lines), *notes, *_verdicts(mine), *_beside_burners(mine)]))
    return "\n\n".join(blocks)


def _contest_line(row: Row) -> list[str]:
    if "seconds" not in row:
        return [row["provider"], "not timed", *[""] * 8]
    return [
        row["provider"],
        f"{seconds(row['seconds']['median'])} ({seconds(row['seconds']['low'])}..{seconds(row['seconds']['high'])})",
        f"{row['flops'] / row['seconds']['median'] / 1e9:.0f}",
        *_executed(row),
        ranged(row["ratio"]) if "ratio" in row else "",
        f"{row['peak_mb']:.0f}",
        f"{row['memory_ratio']:.2f}" if "ratio" in row else "",
        f"{statistics.median(row['starts']):.2f}",
        f"{row['start_ratio']:.2f}" if "ratio" in row else "",
    ]


def _executed(row: Row) -> list[str]:
    """GFLOP/s of products that were really done, and their share of the machine's best."""
    if not row.get("executed"):
        return ["", ""]
    rate = row["executed"] / row["seconds"]["median"] / 1e9
    return [f"{rate:.0f}", f"{rate / row['product_gflops']:.2f}" if row["product_gflops"] else ""]


def _verdicts(rows: list[Row]) -> list[str]:
    """Against the fastest of torch's layouts, and against the fastest of all."""
    timed = [row for row in rows[1:] if "ratio" in row]
    eager = [row for row in timed if row["provider"] in ("torch", "torch-channels-last")]
    lines = []
    for label, group in (("torch eager", eager), ("all", timed)):
        if len(group) > 1:
            best = min(group, key=lambda row: row["seconds"]["median"])
            ratio = spread(ratios(rows[0]["samples"], best["samples"]))
            lines.append(
                f"ours / best of {label} ({best['provider']}): {ranged(ratio)} of the time, "
                f"{best['memory_ratio']:.2f} of the memory, {best['start_ratio']:.2f} of the time to the first result"
            )
    return lines


def _beside_burners(rows: list[Row]) -> list[str]:
    """What each loses where somebody else is on some of the cores, and how ours compares then."""
    return [
        f"with {row['burner']} of the cores occupied {row['provider']} takes {ranged(row['slowdown'])} of its time"
        + (f"; ours/it {ranged(row['busy_ratio'])}" if "busy_ratio" in row else "")
        for row in rows
        if "slowdown" in row
    ]


def ranged(ratio: dict[str, float]) -> str:
    """A median with its range."""
    return f"{ratio['median']:.2f} ({ratio['low']:.2f}..{ratio['high']:.2f})"


def seconds(value: float) -> str:
    """Three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
