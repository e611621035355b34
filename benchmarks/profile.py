"""Where one of our training steps goes, op by op: a table, and a trace file for chrome://tracing or ui.perfetto.dev.

The product's code is untouched: nn/trace.py watches every op's forward and backward, and Adam's step. What is between them
(graph bookkeeping, adding gradients, pools) shows as "the rest". On a GPU every op is waited for, which makes the whole slower than an unwatched step. On the CPU small
networks run in two threads: then each thread's time counts, and a share is one of both threads' time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import executed, options, table
from benchmarks.costs import backward_flops, forward_flops
from benchmarks.harness import Row
from benchmarks.providers import Ours, wait
from benchmarks.step import SIZES
from nn.trace import traced


@dataclass
class Event:
    """One call of an op's forward or backward, or one update by Adam. Times in seconds."""

    op: str
    phase: str
    start: float
    seconds: float
    flops: int
    executed: int  # operations of its products that were really done (benchmarks/executed.py); 0 on a GPU
    bytes: int
    shapes: str
    thread: int

    def trace(self, origin: float) -> dict[str, Any]:
        """The event as Chrome's trace format has it: microseconds."""
        detail = {"shapes": self.shapes, "GFLOP": self.flops / 1e9, "MB": self.bytes / 1e6}
        rates = {"GFLOP/s": self.flops / self.seconds / 1e9, "GB/s": self.bytes / self.seconds / 1e9}
        return {
            "name": self.op, "cat": self.phase, "ph": "X", "pid": 1, "tid": self.thread,
            "ts": (self.start - origin) * 1e6, "dur": self.seconds * 1e6, "args": detail | rates,
        }  # fmt: skip


@contextlib.contextmanager
def watching(device: str = "cpu") -> Iterator[list[Event]]:
    """Every op that runs inside is in the list afterwards, in order."""
    events: list[Event] = []
    with traced(lambda: wait(device)) as trace:
        yield events
    products = executed.of_ops(trace.ops) if device == "cpu" else [(0, 0)] * len(trace.ops)
    for op, (done_forward, done_backward) in zip(trace.ops, products, strict=True):
        what = text(op.shapes, op.output)
        sizes = [nbytes(shape, size) for shape, size in zip([*op.shapes, op.output], op.itemsizes, strict=True)]
        flops = forward_flops(op.name, op.shapes, op.output)
        events.append(Event(op.name, "forward", op.start, op.seconds, flops, done_forward, sum(sizes), what, op.thread))
        if op.backward_seconds is not None:
            flops = backward_flops(op.name, op.shapes, op.output, op.need)
            # Inputs are read again; every wanted gradient is as large as its input.
            moved = sum(sizes) + sum(size for size, wanted in zip(sizes, op.need, strict=False) if wanted)
            start, seconds = op.backward_start, op.backward_seconds
            events.append(Event(op.name, "backward", start, seconds, flops, done_backward, moved, what, op.thread))
    for done in trace.updates:
        flops, numbers = forward_flops("adam", [(done.numbers,)], (done.numbers,)), f"{done.numbers:,} weights"
        moved = 7 * 4 * done.numbers
        events.append(Event("adam", "update", done.start, done.seconds, flops, 0, moved, numbers, done.thread))
    events.sort(key=lambda event: event.start)


def nbytes(shape: Sequence[int] | None, itemsize: int) -> int:
    """Bytes of an array; 0 of one that is absent."""
    return 0 if shape is None else math.prod(shape) * itemsize


def text(inputs: Any, output: Any) -> str:
    """Shapes as words: 1x64x64x256, 3x3x256x256 -> 1x64x64x256."""
    said = ["x".join(map(str, shape)) or "1" for shape in (*(s for s in inputs if s is not None), output)]
    return f"{', '.join(said[:-1])} -> {said[-1]}"


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks profile`."""
    parser.add_argument("--size", default="128", choices=tuple(SIZES), help="what is trained (default: 128)")
    parser.add_argument("--trace", metavar="FILE", help="write a trace here (Chrome trace-event JSON)")
    options.device(parser)
    options.output(parser)


def run(args: argparse.Namespace) -> int:
    """Warm up, watch one step, print, write."""
    name = "quick" if args.quick else args.size
    work = options.with_device(SIZES[name], args)

    def measure() -> Iterator[list[Row]]:
        contestant = Ours(work)
        for key in range(2):
            contestant.run(contestant.inputs(key))
        inputs = contestant.inputs(2)
        with watching(args.device) as events:
            start = time.perf_counter()
            contestant.run(inputs)
            total = time.perf_counter() - start
        if args.trace:
            trace = {"traceEvents": [event.trace(start) for event in events], "displayTimeUnit": "ms"}
            options.save(Path(args.trace), json.dumps(trace))
        common = {
            "bench": "profile",
            "work": name,
            "provider": "ours",
            "total": total,
            "product_gflops": executed.best_product(args),
        }
        threads = len({event.thread for event in events})
        yield [{**common, "threads": threads, **row} for row in totals(events)]

    return options.report(args, "profile", measure, show)


def totals(events: list[Event]) -> list[Row]:
    """One row per op and phase, the longest first."""
    rows: dict[tuple[str, str], Row] = {}
    for e in events:
        row = rows.setdefault(
            (e.op, e.phase),
            {"op": e.op, "phase": e.phase, "calls": 0, "time": 0.0, "flops": 0, "executed": 0, "bytes": 0},
        )
        row["calls"] += 1
        row["time"] += e.seconds
        row["flops"] += e.flops
        row["executed"] += e.executed
        row["bytes"] += e.bytes
    return sorted(rows.values(), key=lambda row: -row["time"])


def show(rows: list[Row]) -> str:
    """The table, with what no op accounts for. Where lanes run side by side, each is held to its share of the machine's product."""
    total, spent = rows[0]["total"], rows[0]["total"] * rows[0]["threads"]
    best = rows[0]["product_gflops"] / rows[0]["threads"]
    head = ["op", "phase", "calls", "ms", "share", "GFLOP", "GFLOP/s", "executed", "of product", "MB", "GB/s"]

    def line(name: str, phase: str, calls: int, seconds: float, clock: float, row: Row) -> list[str]:
        return [
            name, phase, str(calls), f"{clock * 1e3:.2f}", f"{seconds / spent:.1%}",
            f"{row['flops'] / 1e9:.3g}", f"{row['flops'] / clock / 1e9:.0f}",
            *([f"{row['executed'] / 1e9:.3g}", f"{row['executed'] / seconds / best / 1e9:.0%}"] if row["executed"] else ["", ""]),
            f"{row['bytes'] / 1e6:.3g}", f"{row['bytes'] / clock / 1e9:.1f}",
        ]  # fmt: skip

    lines = [line(row["op"], row["phase"], row["calls"], row["time"], row["time"], row) for row in rows]
    rest = spent - sum(row["time"] for row in rows)
    lines.append(["the rest", "", "", f"{rest * 1e3:.2f}", f"{rest / spent:.1%}", *[""] * 6])
    whole = {name: sum(row[name] for row in rows) for name in ("flops", "executed", "bytes")}
    lines.append(line("step", "", sum(row["calls"] for row in rows), spent, total, whole))
    said = f"executed: GFLOP of the products that were really done; of product: their rate, of {rows[0]['product_gflops']:.0f} GFLOP/s"
    return "\n".join([table.render(head, lines), *([said] if best else [])])
