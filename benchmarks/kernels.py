"""Every op at its real layer shapes, or yours: forward, backward, or both in one go, beside torch and this machine's peaks.

    python -m benchmarks kernels --against path/to/mine.py --ops reflection_pad

races a file of yours that has `forward` and `backward` as kernels/<op>/__init__.py says. Who is wrong, or faster than the
machine can be, has a reason in place of a speed (benchmarks/race.py). Peaks are measured: the best of repeated products, and of
repeated copies of each size; "of roof" is the time that these would take over the time taken. Caches are warm, as between
one op and the next of a small network; --cache cold empties them before every run. With --device cuda, times are those of a
CUDA graph's replays, ours and torch's alike, so that nobody's Python is timed, always with the L2 cache flushed; the table is
written to benchmarks/results/<gpu>/.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import op_tables, options, peaks
from benchmarks.harness import Row
from benchmarks.op_providers import OURS, TORCH, TRUTH, YOURS, OpWork, case
from benchmarks.race import DIRECTIONS, Rules, race
from benchmarks.worker import Worker, WorkerError
from tests.cases import CASES
from train.errors import UserError

CONTESTANTS = {
    "ours": (("ours", OURS["ours"]),),
    "reference": (("reference", OURS["reference"]),),
    "torch": tuple(TORCH.items()),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks kernels`."""
    options.versus(parser, CONTESTANTS, "torch", ", or files of yours: path/to/mine.py")
    parser.add_argument(
        "--ops", default="", help="only these, or single cases: conv2d,instance_norm-real (default: all)"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the ops with their cases, shapes and settings, and stop"
    )
    parser.add_argument(
        "--shape", metavar="NxHxWxC", default="",
        help="of the first input, in place of each case's own; the other inputs follow it",
    )  # fmt: skip
    parser.add_argument(
        "--sizes", metavar="PIXELS,…", default="", help="each case at these heights and widths: one line for each contestant"
    )  # fmt: skip
    parser.add_argument(
        "--passes", default="forward,backward", help="some of forward,backward,both (default: %(default)s)"
    )
    parser.add_argument(
        "--cache", choices=("warm", "cold"), default="",
        help="the processor's caches before each run (default: warm; on a GPU cold, always)",
    )  # fmt: skip
    parser.add_argument("--pairs", type=int, default=5, help="alternating measurements (default: %(default)s)")
    parser.add_argument("--baseline", metavar="FILE", help="compare with the rows that --json wrote here earlier")
    options.device(parser)
    options.output(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; 1 if a result was wrong or a time refused."""
    files = {word: Path(word) for word in map(str.strip, args.against.split(",")) if word.endswith(".py")}
    owners = {word: op_of(path, args.ops) for word, path in files.items()}
    names = works(args, sorted(set(owners.values())) if files and not args.ops else [])
    if args.list:
        print(op_tables.listing([case(name) for name in names], not args.quick))
        return 0
    if args.device == "cuda" and args.cache == "warm":
        raise UserError(
            "--cache warm with --device cuda: the GPU's clock flushes its cache before each run; leave it out"
        )
    directions = tuple(options.chosen(args.passes, dict.fromkeys(DIRECTIONS), "--passes"))
    others = ",".join(word for word in args.against.split(",") if word.strip() not in files)
    contestants = {**options.contestants(others, CONTESTANTS), **dict.fromkeys(files, YOURS)}
    work = OpWork(args.device, args.precision, full=not args.quick, tune=args.tune)
    pairs, at_least = (1, 0.0) if args.quick else (args.pairs, 0.15)
    cold = args.cache == "cold" or args.device == "cuda"
    rules = Rules(work, directions, pairs, at_least, cold, {word: missing(path) for word, path in files.items()})
    before = op_tables.baseline(args.baseline) if args.baseline else None

    def start(provider: str) -> Any:
        given = work
        if provider in files:
            given = dataclasses.replace(work, file=str(files[provider].resolve()), op=owners[provider])
        try:
            return Worker(contestants[provider], given)
        except WorkerError as error:
            if provider == "ours":
                raise
            return Absent(error)

    def measure() -> Iterator[list[Row]]:
        best = peaks.measure(0.1 if args.quick else 2.0, args.device, args.precision)
        common = {"bench": "kernels", "precision": args.precision, "device": args.device, "peaks": best.described()}
        common["cache"] = "cold" if rules.cold else "warm"
        judge, workers = Worker(TRUTH, work), {name: start(name) for name in contestants}
        try:
            for name in names:
                print(f"{name} ...", flush=True)
                running = {p: w for p, w in workers.items() if owners.get(p, case(name).op) == case(name).op}
                rows = [{**common, **row} for row in race(name, running, judge, rules, best)]
                if any(
                    "impossible" in row.get("error", "") for row in rows
                ):  # was the machine busy while it was measured?
                    best = best.better(peaks.measure(2.0, args.device, args.precision))
                    common["peaks"] = best.described()
                    rows = [{**common, **row} for row in race(name, running, judge, rules, best)]
                yield op_tables.compared(rows, before) if before else rows
                workers |= {p: start(p) for p, w in workers.items() if w.connection.closed}
                judge = Worker(TRUTH, work) if judge.connection.closed else judge
        finally:
            for worker in (*workers.values(), judge):
                worker.close()

    return options.report(args, "kernels", measure, op_tables.show)


class Absent:
    """In the place of a worker that could not be started: says why whenever it is asked."""

    def __init__(self, error: WorkerError) -> None:
        self.error, self.connection = error, self
        self.closed = False  # it need not be tried again

    def __call__(self, *_: Any) -> Any:
        raise self.error

    def close(self) -> None:
        """Nothing is open."""


def works(args: argparse.Namespace, ops: list[str]) -> list[str]:
    """The cases that are asked for, by name, with the shapes that are asked for."""
    real = {str(c): c for c in CASES if c.full or c.label == "real"}
    by_op = {c.op: [name for name, other in real.items() if other.op == c.op] for c in real.values()}
    known = {**by_op, **{name: [name] for name in real}}
    words = options.chosen(args.ops, known, "--ops") or ops or list(by_op)
    names = list(dict.fromkeys(name for word in words for name in known[word]))
    if args.quick and not (set(words) & set(real)):
        names = [name for name in names if name.endswith("-real")]
    if args.shape and args.sizes:
        raise UserError("--shape and --sizes: each says how large the first input is; leave one of them out")
    shapes = [args.shape] if args.shape else []
    for shape in shapes:
        if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){3}", shape):
            raise UserError(f"--shape {shape}: wanted images x height x width x channels, such as 1x64x64x128")
    sizes = [word.strip() for word in args.sizes.split(",") if word.strip()]
    for size in sizes:
        if not re.fullmatch(r"[1-9]\d*", size):
            raise UserError(f"--sizes {size}: wanted heights and widths in pixels, such as 64,128,256")
    if sizes:
        return [f"{name}@{resized(name, int(size))}" for name in names for size in sizes]
    return [f"{name}@{shape}" for name in names for shape in shapes] or names


def resized(name: str, size: int) -> str:
    """The shape of a case's first input, `size` pixels high and wide."""
    first, *_ = (case(name).full or case(name).shapes).values()
    assert first is not None and len(first) == 4
    return f"{first[0]}x{size}x{size}x{first[3]}"


def op_of(path: Path, ops: str) -> str:
    """Which op a file of yours is: --ops if that names one, else the file's or its folder's name. UserError where none does."""
    if not path.is_file():
        raise UserError(f"--against {path}: there is no such file")
    known = dict.fromkeys(c.op for c in CASES)
    asked = {word if word in known else word.rpartition("-")[0] for word in map(str.strip, ops.split(",")) if word}
    found = [
        name for name in (*(asked if len(asked) == 1 else ()), path.stem, path.resolve().parent.name) if name in known
    ]
    if not found:
        raise UserError(f"--against {path}: of which op? Say --ops with one of {', '.join(known)}, or call the file so")
    return found[0]


def missing(path: Path) -> frozenset[str]:
    """The directions that a file lacks. UserError if it has neither, or cannot be read."""
    try:
        names = {
            name.asname or name.name if isinstance(name, ast.alias) else getattr(name, "name", getattr(name, "id", ""))
            for node in ast.parse(path.read_text("utf-8")).body
            for name in (getattr(node, "names", None) or getattr(node, "targets", None) or [node])
        }
    except (SyntaxError, ValueError) as error:
        raise UserError(f"--against {path}: not a file of Python: {error}") from None
    lacking = frozenset({"forward", "backward"} - names)
    if len(lacking) == 2:
        raise UserError(
            f"--against {path}: wanted functions `forward` and `backward`, see kernels/README.md; found neither"
        )
    return lacking | ({"both"} if lacking else frozenset())
