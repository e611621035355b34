"""How the training step's time and memory grow with picture size, channels and batch, ours and torch."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Iterator
from math import log
from typing import Any

from benchmarks import options, table
from benchmarks.costs import step_flops
from benchmarks.harness import Row, contest
from benchmarks.providers import TORCH, TRAINERS, Work
from benchmarks.step import judging, stopped_learning
from train.errors import UserError

AXES = {"size": (64, 128, 256, 512), "ngf": (16, 32, 64, 96), "batch": (1, 2, 4, 8)}
LABELS = {"size": "picture, px", "ngf": "channels of the first layer (ngf)", "batch": "batch"}
BASE = Work(128, 32, 6)
QUICK = Work(32, 4, 1)


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks scaling`."""
    options.versus(parser, TRAINERS, "torch")
    for axis, values in AXES.items():
        default = ",".join(map(str, values))
        parser.add_argument(f"--{axis}", default=default, help=f"{LABELS[axis]} (default: {default}; '' for none)")
    options.device(parser)
    options.measuring(parser)
    parser.set_defaults(pairs=3, starts=1)


def run(args: argparse.Namespace) -> int:
    """Measure along each axis from one common base, print, write; 1 if a result was wrong."""
    base = options.with_device(QUICK if args.quick else BASE, args)
    contestants = options.contestants(args.against, TRAINERS)
    wanted = {axis: numbers(getattr(args, axis), axis) for axis in AXES}
    if args.quick:
        wanted = {"size": [QUICK.size], "ngf": [], "batch": []}

    def measure() -> Iterator[list[Row]]:
        done: dict[Work, list[Row]] = {}
        for axis, values in wanted.items():
            for value in values:
                changes: dict[str, Any] = {axis: value}
                work = dataclasses.replace(base, **changes)
                if work not in done:  # the base lies on every axis
                    print(f"{axis} {value} ...", flush=True)
                    effort = options.effort(args)
                    judge = f"{TORCH}:TorchJudge"
                    settings = dict(truth=judge, differ=judging(work), keys=2, after=stopped_learning, **effort)
                    done[work] = contest(contestants, work, **settings)
                fixed = ", ".join(f"{other} {getattr(base, other)}" for other in AXES if other != axis)
                place = {"axis": LABELS[axis], "value": value, "fixed": f"{fixed}, {base.n_blocks} blocks"}
                common = {"bench": "scaling", "work": f"{axis} {value}", "flops": step_flops(work), **place}
                yield [{**common, **row} for row in done[work]]

    return options.report(args, "scaling", measure, show)


def numbers(text: str, axis: str) -> list[int]:
    """The whole numbers of a comma-separated list."""
    try:
        values = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = [0]
    if any(value < 1 for value in values):
        raise UserError(f"--{axis} {text}: wanted whole numbers from 1, separated by commas")
    return values


def show(rows: list[Row]) -> str:
    """One line per point and contestant; then how fast cost grows, and where torch is faster."""
    head = ["point", "contestant", "GFLOP", "s (range)", "ns/kFLOP", "peak MB", "ours/it"]
    lines, notes = [], []
    for row in rows:
        if "seconds" not in row:
            notes.append(f"{row['work']}, {row['provider']}: {row.get('error', 'not timed')}")
            continue
        median = row["seconds"]["median"]
        lines.append([
            row["work"], row["provider"], f"{row['flops'] / 1e9:.4g}",
            f"{table.seconds(median)} ({table.seconds(row['seconds']['low'])}..{table.seconds(row['seconds']['high'])})",
            f"{median / row['flops'] * 1e12:.2f}", f"{row['peak_mb']:.0f}",
            table.ranged(row["ratio"]) if "ratio" in row else "",
        ])  # fmt: skip
    return "\n".join([table.render(head, lines), *notes, *growth(rows), *crossover(rows)])


def growth(rows: list[Row]) -> list[str]:
    """The exponent of time over FLOPs between an axis's ends: 1 is proportional, more is worse."""
    lines = []
    for axis in dict.fromkeys(row["axis"] for row in rows):
        ours = [row for row in rows if row["axis"] == axis and row["provider"] == "ours" and "seconds" in row]
        if len(ours) > 1 and ours[0]["flops"] != ours[-1]["flops"]:
            x, y = zip(*((row["flops"], row["seconds"]["median"]) for row in ours), strict=True)
            exponent = slope([*x], [*y])
            lines.append(f"{axis}: our step time grows as FLOPs to the power of {exponent:.2f}")
    return lines


def slope(x: list[float], y: list[float]) -> float:
    """The least-squares slope of log y over log x."""
    return statistics.linear_regression([log(v) for v in x], [log(v) for v in y]).slope


def crossover(rows: list[Row]) -> list[str]:
    """Where another contestant's median is below ours."""
    slower = [row for row in rows if row.get("ratio", {"median": 0})["median"] > 1]
    if not slower:
        return ["crossover: none; ours is the fastest at every point"] if any("ratio" in row for row in rows) else []
    return ["crossover: others are faster at " + "; ".join(f"{row['work']} ({row['provider']})" for row in slower)]
