"""The full training step (both players, identity loss, pool, Adam), ours beside others on equal weights and pictures."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks import executed, options, table
from benchmarks.costs import step_flops
from benchmarks.harness import Differ, Row, contest
from benchmarks.providers import TORCH, TRAINERS, Work
from benchmarks.worker import Result, Worker
from train.config.settings import PRESETS

TINY = PRESETS["tiny"]
SIZES = {
    "paper": Work(256, 64, 9),
    "128": Work(128, 64, 6),
    "64": Work(64, 32, 6),
    "tiny": Work(TINY["crop_size"], TINY["ngf"], TINY["n_blocks"]),
    "quick": Work(32, 4, 1),
}

# What may differ from torch (float32, NCHW) within the first steps: every loss, as |ours - torch| / max(1, |torch|), and
# the way each network has moved, as |ours - torch| / |torch| over its weights. Losses differ by rounding alone before the
# first update, but also hide a wrong gradient for a step or two; the updates show it at once. Adam's first update is
# lr * sign(gradient), so rounding turns the few weights whose gradient is near 0: some percent of the
# update, where a wrong gradient makes it 140 and no update 100. bfloat16 turns many more: torch's own autocast lies up to 63
# percent from torch in float32 at the smallest size, ours 53. There the gate sees only what is badly wrong; and its losses part
# sooner, by up to 0.043 within six steps (torch's autocast from torch in float32, 32 and 64 pixels, two seeds).
ALLOWED_LOSS = {"fp32": 2e-2, "tf32": 2e-2, "bf16": 0.1}
ALLOWED_UPDATE = {"fp32": 0.3, "tf32": 0.3, "bf16": 0.8}
GATE_STEPS = {"cpu": 2, "interpret": 2, "cuda": 4}  # there two run kernel by kernel, and then the graph is replayed

MOVES = 1e-2
"""How far a network must have moved in the steps that were timed, by how far it had in those of the gate."""


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks step`."""
    options.versus(parser, TRAINERS, "torch,torch-compile")
    parser.add_argument(
        "--sizes", default="paper,128,64,tiny", help=f"some of {', '.join(SIZES)} (default: %(default)s)"
    )
    parser.add_argument(
        "--cold",
        action="store_true",
        help="also time a first step whose kernels are compiled anew, as after installing",
    )
    options.device(parser)
    options.measuring(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 if a result was wrong."""
    sizes = ["quick"] if args.quick else options.chosen(args.sizes, SIZES, "--sizes")
    contestants = options.contestants(args.against, TRAINERS)

    def measure() -> Iterator[list[Row]]:
        best = executed.best_product(args)
        for name in sizes:
            work = options.with_device(SIZES[name], args)
            print(f"{name}: {work.size} px, ngf {work.ngf}, {work.n_blocks} blocks, batch {work.batch} ...", flush=True)
            found = contest(
                contestants,
                work,
                truth=f"{TORCH}:TorchJudge",
                differ=judging(work),
                keys=GATE_STEPS[work.device],
                after=stopped_learning,
                **options.effort(args),
            )
            flops = step_flops(work)
            found = executed.beside(found, executed.StepCount, work, flops, best)
            rows = [{"bench": "step", "work": name, "flops": flops, **row} for row in found]
            if args.cold and name == sizes[-1]:
                rows[0]["cold_start"] = cold_start(work)
                print(f"import + first step with no compiled kernel at hand: {rows[0]['cold_start']:.1f} s")
            yield rows

    return options.report(args, "step", measure, table.contests)


def cold_start(work: Work) -> float:
    """Seconds from nothing to the end of our first step, with an empty cache of compiled kernels."""
    with tempfile.TemporaryDirectory() as empty:
        worker = Worker(dict(TRAINERS["ours"])["ours"], work, {"NUMBA_CACHE_DIR": empty})
        worker("load")
        _, seconds = worker("result", 0)
        worker.close()
        return worker.build_seconds + seconds


def judging(work: Work) -> Differ:
    """`differ` by what the precision of `work` allows."""
    return partial(differ, precision=work.precision)


def differ(result: Result, truth: Result, precision: str = "fp32") -> float:
    """How far losses and updates lie from the truth's, in units of what is allowed."""
    if result.keys() != truth.keys():
        return float("nan")
    parts = [
        abs(result[name] - wanted) / max(1.0, abs(wanted)) / ALLOWED_LOSS[precision]
        if isinstance(wanted, float)
        else np.linalg.norm(result[name] - wanted) / np.linalg.norm(wanted) / ALLOWED_UPDATE[precision]
        for name, wanted in truth.items()
    ]
    return float(np.max(parts))  # NaN stays NaN


def stopped_learning(before: Result, after: Result) -> str:
    """Why the steps that were timed were no training, by the results at the gate and at the end; "" if they were."""
    for name, value in after.items():
        if not np.all(np.isfinite(value)):
            return f"wrong after the timing: {name} is not finite"
        if name.startswith("update") and not np.linalg.norm(value - before[name]) > MOVES * np.linalg.norm(
            before[name]
        ):
            return f"wrong after the timing: the steps that were timed have not moved {name.removeprefix('update of ')}"
    return ""
