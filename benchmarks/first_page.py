"""The page of a first run on a GPU: what was right, how fast it was, and how far from the prediction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import first_sections, machine
from benchmarks.first_plan import read_rows, unended
from benchmarks.first_sections import Found
from benchmarks.table import render

ROWS = ("ceilings", "compile", "correctness", "graph", "kernels", "candidates")  # phases that write <name>.jsonl
DRY_RUN = "**A dry run: the kernels ran in Triton's interpreter, on the CPU and small. No time here is that of a GPU.**"


def collect(out: Path, phases: list[dict[str, Any]], device: str = "cuda") -> Found:
    """Everything that the phases have written into a folder, as far as they came."""
    rows = {name: read_rows(out / f"{name}.jsonl") for name in ROWS}
    steps = [
        {"phase": phase["phase"], **row} for phase in phases for row in whole(out / f"{phase['phase']}.json") or ()
    ]
    about = next((row for row in rows["ceilings"] if row["what"] == "machine"), machine.describe())
    return {
        "machine": about,
        "device": device,
        "phases": phases,
        **rows,
        "steps": steps,
        "scores": whole(out / "training" / "scores.json"),
        "tiles": whole(out / "tiles.json"),
    }


def whole(path: Path) -> Any:
    """What a JSON file holds; None where there is none, or who wrote it was killed meanwhile."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def page(found: Found) -> str:
    """In Markdown."""
    about = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    head = f"{about.get('gpu') or about['cpu']}; Python {about['python']}, {versions}; commit {about['commit']}; {about['date']}"
    parts = [
        "# First run",
        f"{head}. Written by `python -m benchmarks first_run`.",
        "" if found["device"] == "cuda" else DRY_RUN,
        in_short(found),
        "## Phases",
        render(["phase", "what it asks", "status", "s", "precision"], [_phase(row) for row in found["phases"]]),
        "\n".join(
            f"- {row['phase']} ended with: `{' / '.join(row['last'])}`" for row in found["phases"] if row.get("last")
        ),
        first_sections.ceilings(found["ceilings"]),
        first_sections.compiled(found["compile"]),
        first_sections.correctness(found["correctness"]),
        first_sections.replays(found["graph"]),
        first_sections.steps(found["steps"]),
        first_sections.tuned(found),
        first_sections.kernels(found["kernels"], found["ceilings"]),
        first_sections.training(found),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def in_short(found: Found) -> str:
    """What to know if one reads no further."""
    lines = []
    for precision in dict.fromkeys(row["precision"] for row in found["correctness"]):
        mine = [row for row in found["correctness"] if row["precision"] == precision]
        ops, bad = [row for row in mine if row["what"] == "op"], len(unended(mine))
        bad += sum(bool(row.get("problem")) for row in ops)
        lines.append(
            f"- {precision}: {f'{bad} ops are WRONG' if bad else f'all {len(ops)} ops that were tried are right'}"
        )
    if taken := [row for row in found["graph"] if row["what"] == "step"]:
        lines.append(f"- replayed steps: {'OTHER BITS' if any(row['unequal'] for row in taken) else 'equal bits'}")
    timed = found["device"] == "cuda"  # elsewhere times are made up
    for row in found["steps"]:
        if timed and "ratio" in row:
            lines.append(
                f"- the step takes {row['ratio']['median']:.2f} of the time of {row['provider']} ({row['phase']})"
            )
    known = [row for row in found["kernels"] if timed and row.get("predicted") and "seconds" in row]
    if known and (predicted := sum(row["launches"] * row["predicted"]["seconds"] for row in known)):
        measured = sum(row["launches"] * row["seconds"] for row in known)
        lines.append(f"- kernels take {measured / predicted:.2f} of the time that was predicted")
    failed = [f"{row['phase']} ({row['status']})" for row in found["phases"] if row["status"] != "done"]
    lines.append(f"- phases that were not done, or went wrong: {', '.join(failed) or 'none'}")
    return "\n".join(["## In short", "", *lines])


def _phase(row: dict[str, Any]) -> list[str]:
    return [row["phase"], row["about"], row["status"], f"{row.get('seconds', 0):.0f}", row["precision"]]
