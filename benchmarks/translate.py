"""The generator's forward: one 256-pixel picture translated, ours beside torch and runtimes of .onnx files on equal weights."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks import executed, onnx_runtimes, options, table
from benchmarks.costs import generator_flops
from benchmarks.harness import Row, contest
from benchmarks.providers import TORCH, TRANSLATORS, Work
from benchmarks.worker import Result

SIZES = {"paper": Work(256, 64, 9), "quick": Work(32, 4, 1)}

# Largest difference from torch in float64, relative to the picture's root mean square, by how many digits products keep.
ALLOWED = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 1e-1}


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks translate`."""
    options.versus(parser, TRANSLATORS, "torch,onnxruntime")
    options.device(parser)
    options.measuring(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 if a result was wrong."""
    name = "quick" if args.quick else "paper"
    work = options.with_device(SIZES[name], args)
    contestants = options.contestants(args.against, TRANSLATORS)

    def measure() -> Iterator[list[Row]]:
        judge = partial(differ, precision=work.precision)
        with onnx_runtimes.written(work, contestants) as given:
            found = contest(
                contestants, given, truth=f"{TORCH}:TorchTruth", differ=judge, keys=2, **options.effort(args)
            )
        flops = generator_flops(work)[0]
        found = executed.beside(found, executed.ForwardCount, work, flops, executed.best_product(args))
        yield [{"bench": "translate", "work": name, "flops": flops, **row} for row in found]

    return options.report(args, "translate", measure, table.contests)


def differ(result: Result, truth: Result, precision: str = "fp32") -> float:
    """How far a picture lies from the truth's, in units of what is allowed."""
    y, wanted = result["y"], truth["y"]
    if y.shape != wanted.shape:
        return float("nan")
    return float(abs(y - wanted).max() / np.sqrt((wanted**2).mean())) / ALLOWED[precision]
