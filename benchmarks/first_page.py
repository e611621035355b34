"""The page of a first run on a GPU: what was right, how fast it was, and how far from the prediction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.first_plan import read_rows, unended
from benchmarks.table import render

Found = dict[str, Any]
SHOWN = 30  # kernels


def collect(out: Path, phases: list[dict[str, Any]]) -> Found:
    """Everything that the phases have written into a folder, as far as they came."""
    rows = {
        name: read_rows(out / f"{name}.jsonl") for name in ("ceilings", "compile", "correctness", "graph", "kernels")
    }
    steps = [row for file in sorted(out.glob("step-*.json")) for row in json.loads(file.read_text(encoding="utf-8"))]
    scores = out / "training" / "scores.json"
    about = next((row for row in rows["ceilings"] if row["what"] == "machine"), machine.describe())
    return {
        "machine": about,
        "phases": phases,
        **rows,
        "steps": steps,
        "scores": json.loads(scores.read_text(encoding="utf-8")) if scores.exists() else None,
    }


def page(found: Found) -> str:
    """In Markdown."""
    about = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    head = f"{about.get('gpu') or about['cpu']}; Python {about['python']}, {versions}; commit {about['commit']}; {about['date']}"
    parts = [
        "# First run",
        f"{head}. Written by `python -m benchmarks first_run`.",
        render(["phase", "status", "s", "precision"], [_phase(row) for row in found["phases"]]),
        "\n".join(
            f"- {row['phase']} ended with: `{' / '.join(row['last'])}`" for row in found["phases"] if row.get("last")
        ),
        ceilings(found["ceilings"]),
        compiled(found["compile"]),
        correctness(found["correctness"]),
        replays(found["graph"]),
        steps(found["steps"]),
        kernels(found["kernels"], found["ceilings"]),
        training(found),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _phase(row: dict[str, Any]) -> list[str]:
    return [row["phase"], row["status"], f"{row.get('seconds', 0):.0f}", row["precision"]]


def ceilings(rows: list[dict[str, Any]]) -> str:
    """What the card does at best, and what the machine lacks."""
    lines = []
    for row in rows:
        if row["what"] == "peaks":
            lines.append(
                f"- {row['precision']}: product {row['gemm_gflops'] / 1e3:.1f} TFLOP/s, copy {row['copy_gbs'] / 1e3:.2f} TB/s"
            )
        if row["what"] == "replay":
            lines.append(
                f"- a graph of one small kernel: {1e6 * row['seconds']:.1f} µs, which every replay below holds too"
            )
        if row["what"] == "nvidia-smi" and row["line"]:
            lines.append(f"- {row['line']}")
        if row["what"] == "lacking" and row["names"]:
            lines.append(f"- not installed: {', '.join(row['names'])}")
        if row["what"] == "small":
            lines.append(f"- first kernel and first array operation: {row['seconds']:.1f} s, off by {row['error']:.2g}")
    return "\n".join(["## Ceilings", "", *lines]) if lines else ""


def compiled(rows: list[dict[str, Any]]) -> str:
    """What spills, or does not fit."""
    kernels = [row for row in rows if row["what"] == "kernel"]
    if not kernels:
        return ""
    times = [
        f"{r['kernels']} kernels of {r['precision']} in {r['seconds']:.0f} s" for r in rows if r["what"] == "compiled"
    ]
    unfit = [f"- {row['precision']}: {problem}" for row in kernels for problem in row["problems"]]
    return "\n".join(["## Compiled", "", f"{'; '.join(times)}. Unfit: {len(unfit) or 'none'}.", *unfit])


def correctness(rows: list[dict[str, Any]]) -> str:
    """Each precision's worst, and every op that was wrong."""
    lines, wrong = [], []
    for precision in dict.fromkeys(row["precision"] for row in rows):
        mine = [row for row in rows if row["precision"] == precision and row["what"] == "op"]
        bad = [row for row in mine if row.get("problem")]
        wrong += [f"- {precision}, {row['case']}: {row['problem']}" for row in bad]
        wrong += [
            f"- {precision}, {row['case']}: never came back"
            for row in unended([row for row in rows if row["precision"] == precision])
        ]
        worst = max((row for row in mine if "of_allowed" in row), key=lambda r: r["of_allowed"], default=None)
        least = max((max(r["relative"].values()) for r in mine if r.get("relative")), default=float("nan"))
        ended = any(row["what"] == "done" and row["precision"] == precision for row in rows)
        said = f"{worst['of_allowed']:.2f} ({worst['case']})" if worst else "-"
        lines.append([precision, f"{len(mine)}{'' if ended else ', not all'}", str(len(bad)), said, f"{least:.2g}"])
    head = ["precision", "ops", "wrong", "worst, of what is allowed", "largest relative difference"]
    return "\n\n".join(filter(None, ["## Right or wrong", render(head, lines), "\n".join(wrong)])) if lines else ""


def replays(rows: list[dict[str, Any]]) -> str:
    """Whether a replayed step is the step."""
    steps = [row for row in rows if row["what"] == "step"]
    if not steps:
        return ""
    replayed = [row for row in steps if row["replayed"]]
    unequal = [f"- step {row['number']}: {', '.join(row['unequal'])}" for row in steps if row["unequal"]]
    said = f"{len(steps)} steps, {len(replayed)} of them replayed from a graph: "
    said += (
        "losses and updates have other bits than those launched kernel by kernel"
        if unequal
        else "equal bits throughout"
    )
    late = [row["compiled_late"] for row in rows if row["what"] == "done"]
    said += (
        f". Kernels that were not found compiled: {', '.join(late[0]) or 'none'}"
        if late
        else ". It did not come to its end"
    )
    return "\n".join(["## Graph", "", said + ".", *unequal])


def steps(rows: list[dict[str, Any]]) -> str:
    """The training step of all."""
    lines = []
    for row in rows:
        name = f"{row['provider']}, {row['work']}"
        if "seconds" not in row:
            lines.append([name, row.get("error", "not timed"), "", "", ""])
            continue
        s, ratio = row["seconds"], row.get("ratio", {}).get("median")
        cells = [
            f"{1e3 * s['median']:.2f}",
            f"{1e3 * s['p80']:.2f}",
            f"{ratio:.2f}" if ratio else "",
            f"{row.get('device_mb', 0):.0f}",
        ]
        lines.append([name, *cells])
    return "## The step\n\n" + render(["contestant", "ms", "p80", "ours/it", "MB of the GPU"], lines) if lines else ""


def kernels(rows: list[dict[str, Any]], ceilings: list[dict[str, Any]]) -> str:
    """Each kernel's replays beside what was predicted, dearest first."""
    known = sorted((r for r in rows if "seconds" in r), key=lambda r: -r["seconds"] * r["launches"])
    failed = [f"- {row['kernel']} {row['grid']}: {row['error']}" for row in rows if "error" in row]
    if not known and not failed:
        return ""
    copy = next((r["copy_gbs"] for r in ceilings if r["what"] == "peaks"), None)
    lines = []
    for row in known[:SHOWN]:
        rate = row["bytes"] / row["seconds"] / 1e12
        predicted = row["predicted"]["seconds"] if row.get("predicted") else None
        cells = [f"{row['launches']}", f"{1e6 * row['seconds']:.1f}", f"{1e6 * predicted:.1f}" if predicted else "-"]
        cells += [
            f"{row['seconds'] / predicted:.2f}" if predicted else "-",
            row["predicted"]["binds"] if predicted else "-",
        ]
        cells += [f"{row['flops'] / row['seconds'] / 1e12:.1f}" if row["flops"] else "-", f"{rate:.2f}"]
        lines.append(
            [f"{row['kernel']} {'x'.join(map(str, row['grid']))}", *cells, f"{1e5 * rate / copy:.0f}%" if copy else "-"]
        )
    both = [r for r in known if r.get("predicted")]
    total, measured = (1e3 * sum(r["launches"] * r["seconds"] for r in some) for some in (known, both))
    said = (
        f"All launches one by one: {total:.2f} ms a step, in which nothing is left in the caches by the launch before."
    )
    if both:
        said += f" Of {measured:.2f} ms a prediction is known: {1e3 * sum(r['launches'] * r['predicted']['seconds'] for r in both):.2f} ms."
    head = ["kernel, grid", "launches", "µs", "predicted", "ratio", "bound by", "TFLOP/s", "TB/s", "of copy"]
    return "\n\n".join(filter(None, ["## Kernels", render(head, lines), said, "\n".join(failed)]))


def training(found: Found) -> str:
    """Where the run is, and its scores beside the baselines'."""
    if found["scores"] is None:
        return ""
    known = {way: of for way, of in found["scores"].items() if isinstance(of, dict)}
    head = ["way", "whose", *next(iter(next(iter(known.values())).values()))]
    lines = [
        [way, who, *(f"{value:.3g}" for value in scores.values())]
        for way, of in known.items()
        for who, scores in of.items()
    ]
    said = "`training/report.html` and `training/samples` show the run. Scores of its test pictures:"
    return f"## Training\n\n{said}\n\n{render(head, lines)}"
