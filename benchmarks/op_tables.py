"""What `python -m benchmarks kernels` prints and writes: a row for each contestant, a line for each along sizes, and earlier rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import table
from benchmarks.costs import FUSED
from benchmarks.harness import Row
from tests.cases import Case
from train.errors import UserError

Earlier = Mapping[tuple[str, ...], Row]
SAME = ("work", "direction", "provider", "precision", "device", "cache")
"""What must agree before two times are compared."""


def show(rows: list[Row]) -> str:
    """One row for each op, pass and contestant; whoever has no speed has a reason below; then the lines along sizes."""
    best = rows[0]["peaks"]
    old = any("earlier" in row for row in rows)
    head = [
        "op",
        "pass",
        "contestant",
        "ms",
        "p80",
        "rate",
        "of roof",
        "bound by",
        "ours/it",
        *(["now/then"] if old else []),
        "",
    ]
    lines = []
    for row in rows:
        cells = numbers(row) if "seconds" in row else ["-"] * 5
        ratio = table.ranged(row["ratio"]) if "ratio" in row else ""
        then = [f"{row['earlier']['ratio']:.2f}" if "earlier" in row else ""] if old else []
        told = row.get("note", "") if "seconds" in row else "refused" if row.get("wrong") else "not timed"
        lines.append([row["work"], row["direction"], row["provider"], *cells, ratio, *then, told])
    reasons = dict.fromkeys(f"{row['work']}, {row['provider']}: {row['error']}" for row in rows if "error" in row)
    title = f"peaks of this machine: {best['gemm_gflops']:.0f} GFLOP/s (product), {best['copy_gbs']:.0f} GB/s (copy)"
    if rows[0]["cache"] == "warm":
        title += "".join(f", {rate:.0f} of {size >> 10} KB" for size, rate in best["copies"].items())
    title += f"; precision {rows[0]['precision']}; caches {rows[0]['cache']}"
    notes = sorted({row["earlier"]["said"] for row in rows if "earlier" in row})
    return "\n".join([title, "", table.render(head, lines), *reasons, *notes, *along(rows)])


def numbers(row: Row) -> list[str]:
    """Time, its 80th percentile, the rate that matters, the share of the roof, and which roof that is."""
    seconds = row["seconds"]
    return [
        f"{seconds['median'] * 1e3:.3g}",
        f"{seconds['p80'] * 1e3:.3g}",
        rate(row),
        f"{row['of_roof']:.0%}",
        row["bound_by"],
    ]


def rate(row: Row, bound: str = "") -> str:
    """GFLOP/s of what is bound by computing, GB/s of what is bound by memory (or as `bound` has it)."""
    return f"{row['gbs']:.3g} GB/s" if (bound or row["bound_by"]) == "memory" else f"{row['gflops']:.3g} GFLOP/s"


def along(rows: list[Row]) -> list[str]:
    """A line for each contestant over the sizes of each case and pass that was measured at several."""
    said = []
    for base, direction in dict.fromkeys((row["work"].partition("@")[0], row["direction"]) for row in rows):
        mine = [r for r in rows if r["work"].partition("@")[0] == base and r["direction"] == direction]
        shapes = list(dict.fromkeys(r["work"].partition("@")[2] for r in mine))
        if len(shapes) < 2:
            continue
        bound = next((r["bound_by"] for r in reversed(mine) if "bound_by" in r), "")
        lines = []
        for provider in dict.fromkeys(r["provider"] for r in mine):
            timed = {r["work"].partition("@")[2]: r for r in mine if r["provider"] == provider and "seconds" in r}
            lines.append([provider, *(rate(timed[s], bound) if s in timed else "-" for s in shapes)])
        said += ["", f"{base}, {direction}", "", table.render(["contestant", *shapes], lines)]
    return said


def listing(cases: Sequence[Case], full: bool) -> str:
    """The cases that can be raced, as a table."""
    lines = []
    for c in cases:
        shapes = " ".join(
            f"{n} {'x'.join(map(str, s))}" for n, s in (c.full or c.shapes if full else c.shapes).items() if s
        )
        settings = " ".join(f"{k}={v}" for k, v in c.settings.items())
        lines.append([str(c), shapes, settings, "the forward makes dx too" if c.op in FUSED else ""])
    return table.render(["case", "inputs", "settings", ""], lines)


def baseline(file: str) -> Earlier:
    """The timed rows of a file that --json wrote. UserError for one that is none."""
    try:
        rows = [(tuple(row[name] for name in SAME), row) for row in json.loads(Path(file).read_text("utf-8"))]
        return {key: row for key, row in rows if "seconds" in row}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--baseline {file}: not rows that `--json` of this command wrote ({error!r})") from None


def compared(rows: list[Row], before: Earlier) -> list[Row]:
    """Each row with the time that it took then, if it was timed in the same way."""
    for row in rows:
        then = before.get(tuple(row[name] for name in SAME))
        if then and "seconds" in row:
            about = then["machine"]
            row["earlier"] = {
                "ratio": row["seconds"]["median"] / then["seconds"]["median"],
                "said": f"then: {about.get('gpu') or about['cpu']}, {about['cores']} cores, commit {about['commit']}, {about['date']}",
            }
    return rows
