"""What a step on the CPU would take if it were its products alone, at the rate of the machine's best one, and what the rest is.

All is counted in time of cores: a step of 2 ms on two cores has 4. Of these

    products     what the convolutions' loops take less when they are compiled without their products; and of that the part
                 which the operations executed would take at the best rate of a product that was measured on this machine
    transforms   what these loops take then: Winograd's transforms, padding, packing, copies, and clearing what products set
    norm, Adam, other loops
    formulas     what NumPy computes and copies
    Python       whatever else the process was on a core for
    waiting      cores that the process was not on: hand-overs, a lane that is alone, other programs

Loops are timed from outside, by the clock of the thread that runs them.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FunctionType
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import executed, options, table
from benchmarks.costs import step_flops
from benchmarks.harness import Row
from benchmarks.providers import Ours, Work
from benchmarks.step import SIZES
from benchmarks.worker import Result, Worker
from kernels import caches, dispatch
from kernels.cpu import recording, threads

PARTS = (
    "products at the machine's best", "products beyond that", "transforms and copies", "norm", "Adam", "other loops", "formulas",
    "Python", "waiting",
)  # fmt: skip
PRODUCTS = ("conv2d", "conv_transpose2d")
NAMED = {"instance_norm": "norm", "adam": "Adam"}


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks roof`."""
    known = ", ".join(SIZES)
    parser.add_argument("--sizes", default="paper,128,64,tiny", help=f"some of {known} (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each kind, alternating (default: %(default)s)")
    parser.add_argument("--markdown", metavar="FILE", help="write a page here, with the picture that --plot names")
    options.output(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write."""
    sizes = ["quick"] if args.quick else options.chosen(args.sizes, SIZES, "--sizes")
    rounds = 1 if args.quick else args.rounds
    args.device = "cpu"

    def measure() -> Iterator[list[Row]]:
        best = executed.best_product(args)
        for name in sizes:
            print(f"{name} ...", flush=True)
            found = executed.beside(
                [{"provider": "ours"}], executed.StepCount, SIZES[name], step_flops(SIZES[name]), best
            )
            yield [{"bench": "roof", "work": name, **found[0], **split(*steps(SIZES[name], rounds), **found[0])}]

    def shown(rows: list[Row]) -> str:
        if args.markdown:
            options.save(Path(args.markdown), page(rows, args))
        return show(rows)

    return options.report(args, "roof", measure, shown)


def steps(work: Work, rounds: int) -> tuple[list[Result], list[Result]]:
    """So many watched steps, and as many of a process whose convolutions multiply nothing; alternating."""
    workers = [Worker(f"{__name__}:{kind.__name__}", work) for kind in (Watched, WithoutProducts)]
    try:
        for worker in workers:
            worker("load")
        taken: list[list[Result]] = [[worker("result", key)[0] for worker in workers] for key in range(2 + rounds)]
    finally:
        for worker in workers:
            worker.close()
    whole, without = zip(*taken[2:], strict=True)  # the first two compile, and fill the pools
    return list(whole), list(without)


class Watched(Ours):
    """Our training step, its loops timed."""

    def run(self, inputs: Any) -> Result:
        with watching() as seconds:
            wall, cpu = time.perf_counter(), time.process_time()
            super().run(inputs)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return {"wall": wall, "cpu": cpu, "threads": threads.COUNT, "loops": dict(seconds)}

    def result(self, output: Result) -> Result:
        return output


class WithoutProducts(Watched):
    """The same with zeros in the place of every product. Its loops are compiled anew, and none is kept."""

    def __init__(self, work: Work) -> None:
        assert f"{dispatch.__package__}.cpu.compiler" not in sys.modules, (
            "it would compile products, or find them on disk"
        )
        caches.can_keep_loops = lambda file: False
        from kernels.cpu import compiler, gemm

        compiler._Announce.said = True
        gemm.multiply = cleared()
        super().__init__(work)


def cleared() -> Any:
    """Takes what kernels/cpu/gemm.py's `multiply` takes, and clears c where that would set it."""
    from kernels.cpu.compiler import subroutine
    from kernels.cpu.gemm import COLS, LANES, whole
    from kernels.cpu.linear import copy

    @subroutine
    def multiply(m, n, outer, inner, a, a_at, a_row, a_outer, a_inner, b, b_at, b_panel, b_k, c, c_at, c_row, add):
        if not add:
            zeros = np.zeros(COLS, np.float32)
            for i in range(m):
                for j in range(0, n, COLS):
                    copy(zeros, 0, 0, c, c_at + i * c_row + j, 0, whole(min(COLS, n - j), LANES))

    return multiply


@contextlib.contextmanager
def watching() -> Iterator[dict[str, float]]:
    """Within this context, seconds on a core of each of the CPU's compiled loops and of each formula in its place, by name."""
    seconds, lock, local = defaultdict[str, float](float), threading.Lock(), threading.local()

    def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **settings: Any) -> Any:
            if getattr(local, "inside", False):
                return function(*arguments, **settings)
            local.inside, start = True, time.thread_time()
            try:
                return function(*arguments, **settings)
            finally:
                with lock:
                    seconds[name] += time.thread_time() - start
                local.inside = False

        return call

    package = f"{dispatch.__package__}."

    def loop(function: Any, *arguments: Any) -> None:
        path = f"{function.py_func.__module__.removeprefix(package)}.{function.py_func.__name__}"
        timed(run, path)(function, *arguments)

    def replayed(calls: Sequence[Any]) -> None:
        for call in calls:
            (call if call.func in (threads.share, recording.side_by_side) else timed(call, "numpy"))()

    run = threads._run
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(threads, "_run", loop))
        stack.enter_context(mock.patch.object(recording, "play", replayed))
        for path, module in list(sys.modules.items()):
            for name, value in list(vars(module).items()) if path.startswith(package) else ():
                if isinstance(value, FunctionType) and value.__module__ == path and path.endswith(".reference"):
                    stack.callback(setattr, module, name, value)
                    setattr(module, name, timed(value, f"{path.removeprefix(package)}.{name}"))
        yield seconds


def split(whole: list[Result], without: list[Result], executed: int, product_gflops: float, **_: Any) -> Row:
    """The medians of steps, part by part, in milliseconds of cores."""
    middle = lambda steps, of: 1e3 * statistics.median(map(of, steps))
    loops = lambda step, *ops: sum(s for name, s in step["loops"].items() if name.partition(".")[0] in ops)
    formulas = lambda step: sum(s for name, s in step["loops"].items() if ".reference." in name or name == "numpy")
    all_loops = lambda step: sum(step["loops"].values())
    transforms = middle(without, lambda step: loops(step, *PRODUCTS))
    products = middle(whole, lambda step: loops(step, *PRODUCTS)) - transforms
    count = whole[0]["threads"]
    best = min(products, 1e3 * count * executed / product_gflops / 1e9)
    named = {part: middle(whole, lambda step, op=op: loops(step, op)) for op, part in NAMED.items()}
    ms = {
        "products at the machine's best": best,
        "products beyond that": products - best,
        "transforms and copies": transforms,
        **named,
        "other loops": middle(whole, lambda step: all_loops(step) - formulas(step) - loops(step, *PRODUCTS, *NAMED)),
        "formulas": middle(whole, formulas),
        "Python": middle(whole, lambda step: step["cpu"] - all_loops(step)),
        "waiting": middle(whole, lambda step: step["threads"] * step["wall"] - step["cpu"]),
    }
    each = lambda steps: {n: middle(steps, lambda step, n=n: step["loops"].get(n, 0.0)) for n in steps[0]["loops"]}
    seconds = {"wall": middle(whole, lambda step: step["wall"]), "threads": count}
    return {**seconds, "ms": ms, "loops": each(whole), "loops_without_products": each(without)}


def show(rows: list[Row]) -> str:
    """A line for each part, a column for each size; last the step, and how near its products are to all of it."""
    head = ["of the cores' time", *(f"{row['work']}, ms" for row in rows), *(row["work"] for row in rows)]
    lines = [
        [part, *(f"{row['ms'][part]:.1f}" for row in rows), *(f"{row['ms'][part] / spent(row):.1%}" for row in rows)]
        for part in PARTS
    ]
    lines.append(["a step, all cores", *(f"{spent(row):.1f}" for row in rows), *("100%" for _ in rows)])
    lines.append(["a step", *(f"{row['wall']:.1f}" for row in rows), *("" for _ in rows)])
    said = [
        f"{row['work']}: {row['executed'] / 1e9:.4g} GFLOP executed in {row['wall']:.4g} ms are {rate(row):.0f} GFLOP/s, "
        f"{rate(row) / row['product_gflops']:.2f} of the machine's best product ({row['product_gflops']:.0f} GFLOP/s)"
        for row in rows
    ]
    return "\n".join([table.render(head, lines), *(f"\n{line}" for line in said)])


def rate(row: Row) -> float:
    """GFLOP/s of what a step executes."""
    return float(row["executed"] / row["wall"] / 1e6)


def spent(row: Row) -> float:
    """Milliseconds of all cores."""
    return float(row["wall"] * row["threads"])


def page(rows: list[Row], args: argparse.Namespace) -> str:
    """The table in Markdown, with what it means."""
    about = rows[0]["machine"]
    picture = [f"![What a step is made of]({Path(args.plot).name})", ""] if args.plot else []
    explained = (__doc__ or "").partition("\n\n")[2].strip()
    return "\n".join([
        "# A CPU step and the machine's own roof", "", options.title(about), "", *picture, show(rows), "",
        "```", explained, "```", "", f"`python -m benchmarks roof --sizes {args.sizes} --rounds {args.rounds}`", "",
    ])  # fmt: skip
