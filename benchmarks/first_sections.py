"""The sections of a first run's page, one for each kind of question; each takes rows as a phase has written them."""

from __future__ import annotations

from typing import Any

from benchmarks.first_plan import unended
from benchmarks.table import render

Found = dict[str, Any]
SHOWN = 30  # kernels
NO_BF16 = "ml_dtypes is not installed, from which NumPy and CuPy have bfloat16, so nothing is tried in bf16"
WHO = "`eager` is ours launched kernel by kernel, `torch-graph` PyTorch's step as one CUDA graph; `channels-last` is a layout in memory."


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
            lines += [f"- {NO_BF16}"] if "ml_dtypes" in row["names"] else []
        if row["what"] == "tools" and (absent := [name for name, path in row.items() if not path]):
            lines.append(f"- not on the path: {', '.join(absent)}")
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
    """The training step of all, each beside ours of the same phase."""
    lines = []
    for row in rows:
        if "seconds" in row:
            s, ratio = row["seconds"], row.get("ratio", {}).get("median")
            cells = [f"{1e3 * s['median']:.2f}", f"{1e3 * s['p80']:.2f}", f"{ratio:.2f}" if ratio else ""]
            lines.append([f"{row['phase']}: {row['provider']}", *cells, f"{row.get('device_mb', 0):.0f}"])
    untimed = [
        f"- {row['phase']}: {row['provider']} was not timed: {row.get('error', 'the phase ended before')}"
        for row in rows
        if "seconds" not in row
    ]
    if not rows:
        return ""
    size = f"Of {rows[0]['work']} size. Every phase measures ours anew, in turns with those it is compared with. {WHO}"
    head = ["phase: contestant", "ms", "p80", "ours/it", "MB of the GPU"]
    return "\n\n".join(filter(None, ["## The step", size, render(head, lines) if lines else "", "\n".join(untimed)]))


def tuned(found: Found) -> str:
    """What was chosen by measuring."""
    chosen = [tiles for choices in (found["tiles"] or {}).values() for tiles in choices.values()]
    launches = [one["launches"] for one in chosen if "launches" in one]
    lines = []
    for row in found["candidates"]:
        lines.append(
            f"- {row['kernels']} kernels compiled in {row['seconds']:.0f} s, of which {row['out']} spill or do not fit"
        )
    if chosen:
        lines.append(f"- tiles of {len(chosen) - len(launches)} products are in `tiles.json`, for `--tune`")
    if launches:
        lines.append(
            f"- of {len(launches)} fused blocks {launches.count(1)} are faster in one launch, the others in two"
        )
    return "\n".join(["## Tuned", "", *lines]) if lines else ""


def kernels(rows: list[dict[str, Any]], ceilings: list[dict[str, Any]]) -> str:
    """Each kernel's replays beside what was predicted, dearest first."""
    known = sorted((r for r in rows if "seconds" in r), key=lambda r: -r["seconds"] * r["launches"])
    failed = [f"- {_where(row)}: {row['error']}" for row in rows if "error" in row]
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
        lines.append([_where(row), *cells, f"{1e5 * rate / copy:.0f}%" if copy else "-"])
    both = [r for r in known if r.get("predicted")]
    total, measured = (1e3 * sum(r["launches"] * r["seconds"] for r in some) for some in (known, both))
    said = (
        f"All launches one by one: {total:.2f} ms a step, in which nothing is left in the caches by the launch before."
    )
    if both:
        said += f" Of {measured:.2f} ms a prediction is known: {1e3 * sum(r['launches'] * r['predicted']['seconds'] for r in both):.2f} ms."
    head = [
        "kernel, grid, first array",
        "launches",
        "µs",
        "predicted",
        "ratio",
        "bound by",
        "TFLOP/s",
        "TB/s",
        "of copy",
    ]
    return "\n\n".join(filter(None, ["## Kernels", render(head, lines), said, "\n".join(failed)]))


def _where(row: dict[str, Any]) -> str:
    """A kernel, its grid and the shape of its first array."""
    grid, shape = ("x".join(map(str, row[name])) for name in ("grid", "shape"))
    return f"{row['kernel']} {grid} of {shape}"


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
