"""Every op at its real layer shapes, forward and backward: time, GFLOP/s and GB/s beside torch and the machine's peaks.

Peaks are measured: the best of repeated matrix products and of repeated copies on this machine. "of roof" is the time
that these peaks would allow, over the time taken. With --device cuda, times come from events with the L2 cache flushed
before every run, and the table is written to benchmarks/results/<gpu>/.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import machine, options, table
from benchmarks.costs import backward_flops, forward_flops
from benchmarks.harness import Row, ratios, spread
from benchmarks.op_providers import OURS, TORCH, TRUTH, OpWork, case
from benchmarks.worker import Result, Worker, WorkerError
from tests.cases import CASES, Case
from tests.tolerances import tolerance

CONTESTANTS = {
    "ours": (("ours", OURS["ours"]),),
    "reference": (("reference", OURS["reference"]),),
    "torch": tuple(TORCH.items()),
}
LONGER_SUMS = 10  # the tests' tolerances are for small shapes; real layers add up to 64 times as many terms
# Among millions of numbers a few lie within rounding of a ReLU's kink; on its other side their gradient differs entirely.
# So at full size such gradients are judged as a whole, |ours - truth| / |truth|: measured 2e-3 for three or four numbers.
KINK = 1e-2
DIRECTIONS = ("forward", "backward")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks kernels`."""
    options.versus(parser, CONTESTANTS, "torch")
    parser.add_argument("--ops", default="", help="only these, e.g. conv2d,instance_norm (default: all)")
    parser.add_argument("--pairs", type=int, default=5, help="alternating measurements (default: %(default)s)")
    options.device(parser)
    options.output(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 if a result was wrong."""
    known = {c.op: None for c in CASES}
    ops = options.chosen(args.ops, known, "--ops") or list(known)
    contestants = options.contestants(args.against, CONTESTANTS)
    names = [str(c) for c in CASES if c.op in ops and (c.full or c.label == "real")]
    if args.quick:
        names = [name for name in names if name.endswith("-real")]
    work = OpWork(args.device, args.precision, full=not args.quick, tune=args.tune)
    pairs, at_least = (1, 0.0) if args.quick else (args.pairs, 0.15)

    def measure() -> Iterator[list[Row]]:
        common = {"bench": "kernels", "precision": args.precision}
        peaks = machine.control(0.05 if args.quick else 2.0, args.device, args.precision)
        workers = {name: Worker(spec, work) for name, spec in contestants.items()}
        judge = Worker(TRUTH, work)
        try:
            for name in names:
                print(f"{name} ...", flush=True)
                rows = case_rows(name, workers, judge, work, pairs, at_least)
                yield [{**common, "peaks": peaks, **row} for row in rows]
        finally:
            for worker in (*workers.values(), judge):
                worker.close()

    return options.report(args, "kernels", measure, show)


def case_rows(
    name: str, workers: dict[str, Worker], judge: Worker, work: OpWork, pairs: int, at_least: float
) -> list[Row]:
    """Gate, then alternate; one row per direction and contestant."""
    truth, _ = judge("result", (name, "both"))
    rows: list[Row] = [
        {"work": name, "direction": direction, "provider": provider, **costs(name, work, truth, direction)}
        for direction in DIRECTIONS
        for provider in workers
    ]
    errors: dict[str, dict[str, Any]] = {}
    for provider, worker in workers.items():
        try:
            worst = differ(name, worker("result", (name, "both"))[0], truth, work)
            if not worst <= 1:
                errors[provider] = {"wrong": True, "error": f"wrong result: {worst:.3g} times the allowed difference"}
        except WorkerError as error:
            errors[provider] = {"error": str(error), "details": error.details}
    for row in rows:
        row |= errors.get(row["provider"], {})
    if "ours" in errors:
        return rows
    for direction in DIRECTIONS:
        mine = [row for row in rows if row["direction"] == direction and "error" not in row]
        for row in mine:
            workers[row["provider"]]("time", (name, direction), 0.0)  # warm-up
        for index in range(pairs):
            for row in mine[:: -1 if index % 2 else 1]:
                times = workers[row["provider"]]("time", (name, direction), at_least)
                row.setdefault("samples", []).append(statistics.median(times))
        for row in mine:
            row["seconds"] = spread(row["samples"])
            if row is not mine[0]:
                row["ratio"] = spread(ratios(mine[0]["samples"], row["samples"]))
    return rows


def costs(name: str, work: OpWork, truth: Result, direction: str) -> dict[str, int]:
    """Operations, and bytes with every operand once: a backward reads dy and the inputs and writes their gradients."""
    shapes = [None if a is None else a.shape for a in work.arrays(name).values()]
    inputs, output = sum(int(np.prod(s)) for s in shapes if s is not None), truth["y"].size
    op, shape = case(name).op, truth["y"].shape
    size = work.dtype.itemsize
    if direction == "forward":
        return {"flops": forward_flops(op, shapes, shape), "bytes": size * (inputs + output)}
    need = [s is not None for s in shapes]
    return {"flops": backward_flops(op, shapes, shape, need), "bytes": size * (2 * inputs + output)}


def differ(name: str, result: Result, truth: Result, work: OpWork) -> float:
    """How far output and gradients lie from the truth's, in units of the tests' tolerance."""
    if result.keys() != truth.keys() or any(result[k].shape != truth[k].shape for k in truth):
        return float("nan")
    c = case(name)
    rtol, atol = tolerance(c.op, "float32" if work.precision == "fp32" else "bfloat16", c.values)
    scale = LONGER_SUMS if work.full else 1
    worst = []
    for k, t in truth.items():
        difference = abs(result[k] - t)
        if work.full and k != "y" and has_a_kink(c):
            worst.append(np.linalg.norm(difference) / np.linalg.norm(t) / KINK)
        else:
            worst.append(np.max(difference / (scale * (rtol * abs(t) + atol * max(1.0, abs(t).max())))))
    return float(np.max(worst))  # NaN stays NaN


def has_a_kink(c: Case) -> bool:
    """Whether a (leaky) ReLU follows a computed number."""
    return c.settings.get("activation", "relu" if c.op == "conv_norm_relu" else "none") != "none"


def show(rows: list[Row]) -> str:
    """One line per op and direction: ours, then the best of the others."""
    peaks = rows[0]["peaks"]
    head = ["op", "pass", "GFLOP", "MB", "ours ms", "p80", "GFLOP/s", "GB/s", "of roof"]
    head += ["best other ms", "ours/it", "which"]
    lines: list[list[str]] = []
    notes: dict[str, None] = {}
    for work, direction in dict.fromkeys((row["work"], row["direction"]) for row in rows):
        mine = [row for row in rows if (row["work"], row["direction"]) == (work, direction)]
        notes |= {f"{work}, {row['provider']}: {row['error']}": None for row in mine if "error" in row}
        if "seconds" in mine[0]:
            lines.append([work, direction, *numbers(mine[0], peaks), *best_other(mine[1:])])
    measured = f"{peaks['gemm_gflops']:.0f} GFLOP/s (product), {peaks['copy_gbs']:.0f} GB/s (copy)"
    title = f"peaks of this machine: {measured}; precision {rows[0]['precision']}"
    return "\n".join([title, "", table.render(head, lines), *notes])


def numbers(row: Row, peaks: dict[str, float]) -> list[str]:
    """Work done, time taken, rates, and the share of what the peaks allow."""
    median = row["seconds"]["median"]
    roof = max(row["flops"] / peaks["gemm_gflops"], row["bytes"] / peaks["copy_gbs"]) / 1e9
    return [
        f"{row['flops'] / 1e9:.3g}", f"{row['bytes'] / 1e6:.3g}", f"{median * 1e3:.3g}",
        f"{row['seconds']['p80'] * 1e3:.3g}", f"{row['flops'] / median / 1e9:.0f}", f"{row['bytes'] / median / 1e9:.1f}",
        f"{roof / median:.0%}",
    ]  # fmt: skip


def best_other(rows: Sequence[Row]) -> list[str]:
    """The fastest of the others."""
    timed = [row for row in rows if "ratio" in row]
    if not timed:
        return ["", "", ""]
    best = min(timed, key=lambda row: row["seconds"]["median"])
    return [f"{best['seconds']['median'] * 1e3:.3g}", table.ranged(best["ratio"]), best["provider"]]
