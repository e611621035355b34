"""Every kernel of a training step at the paper's setting, compiled for GPUs on a machine without one, and what it costs there.

A gate too: it fails on spilled registers, on more shared memory than a program may have, on atomics on floats, on a
matrix product that misses the tensor cores, and on one whose loop loads narrowly, or through registers, where it need not.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks import machine, options
from benchmarks.compile_tables import (
    Kernel,
    code_table,
    kernel_table,
    over_budget,
    row,
    time_table,
    total_row,
    totals,
)
from benchmarks.cubin import SHARED_LIMIT, compilers, read
from benchmarks.prediction import GAP
from benchmarks.recording import PRECISIONS, record_ops, record_step
from kernels.gpu.launch import Launch
from train.models.augmented_cyclegan import AugmentedCycleGAN
from train.models.cyclegan import CycleGAN
from train.models.model import Model
from train.models.pix2pix import Pix2Pix

SYSTEMS: dict[str, type[Model]] = {"cyclegan": CycleGAN, "pix2pix": Pix2Pix, "augmented": AugmentedCycleGAN}
RESULTS = Path(__file__).parent / "results" / "compile"


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks compile_report`."""
    known = ", ".join(map(str, SHARED_LIMIT))
    parser.add_argument("--targets", default="80,90,100", help=f"some of {known} (default: %(default)s)")
    parser.add_argument(
        "--precision", default=",".join(PRECISIONS), help=f"some of {', '.join(PRECISIONS)} (default: all)"
    )
    parser.add_argument(
        "--system", choices=tuple(SYSTEMS), default="cyclegan",
        help="whose training step, under its defaults; totals only for cyclegan (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--kernels", default="*", metavar="GLOB", help="only these, as in 'conv2d.*'; no totals")
    parser.add_argument(
        "--candidates", action="store_true",
        help="also every tile that --tune would measure: those unfit are listed and no failure, since measuring leaves them out",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=0, help="compilers side by side (default: one for each core)")
    parser.add_argument("--overhead", type=float, default=GAP * 1e6, help="µs between launches (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a smoke test: four kernels of a small step, one target")
    parser.add_argument("--json", metavar="FILE", help=f"write the rows here (default: {_place('json')}, if complete)")
    parser.add_argument(
        "--markdown", metavar="FILE", help=f"write the tables here (default: {_place('md')}, if complete)"
    )


def run(args: argparse.Namespace) -> int:
    """Compile, print, write; 1 if a kernel is unfit."""
    precisions = options.chosen(args.precision, dict.fromkeys(PRECISIONS), "--precision")
    targets = [int(t) for t in options.chosen(args.targets, dict.fromkeys(map(str, SHARED_LIMIT)), "--targets")]
    if args.quick:
        precisions, targets = precisions[-1:], targets[-1:]
    whole = not args.quick and args.kernels == "*" and args.system == "cyclegan"
    complete = whole and not args.candidates and set(precisions) == set(PRECISIONS) and {80, 90, 100} <= set(targets)
    system = SYSTEMS[args.system]
    config = system.settings(**system.settings.presets["tiny" if args.quick else "paper"])
    texts, rows, problems = [heading(precisions, targets)], [], []
    with compilers(1 if args.quick else args.jobs or machine.cores()) as begin:
        begun = []  # a step is recorded while the kernels of the one before are compiled
        for precision in precisions:
            step = record_step(precision, config, system)
            kernels = different([k for k in step.launches if fnmatch.fnmatch(k.name, args.kernels)], args.quick)
            if whole:
                kernels += of_other_ops(kernels, record_ops(precision))
            if args.candidates:
                kernels += with_other_tiles(kernels, record_step(precision, config, system, candidates=True).launches)
            print(
                f"{precision}: compiling {len(kernels)} kernels for sm_{', sm_'.join(map(str, targets))} ...",
                flush=True,
            )
            begun.append((precision, step, kernels, begin([(k.shown, t) for k in kernels for t in targets])))
        for precision, step, kernels, results in begun:
            for index, result in enumerate(read(results)):
                kernels[index // len(targets)].compiled[targets[index % len(targets)]] = result
            tried = [kernel for kernel in kernels if kernel.role == "candidate"]
            offences = [problem for kernel in kernels if kernel not in tried for problem in kernel.problems()]
            launched = [kernel for kernel in kernels if kernel.role == "step"]
            parts = [f"## {precision}", kernel_table(kernels), code_table(kernels)]
            parts += [time_table(launched, args.overhead * 1e-6)]
            rows += [row(precision, number, kernel) for number, kernel in enumerate(kernels, 1)]
            if whole:
                parts += [totals(step, launched, precision, args.overhead * 1e-6)]
                rows.append(total_row(step, launched, precision, args.overhead * 1e-6))
                offences += over_budget(rows[-1])
            if args.candidates:
                left_out = [problem for kernel in tried for problem in kernel.problems()]
                parts += [f"### Left out when {len(tried)} more tiles are measured", listed(left_out)]
            parts += ["### Unfit", listed(offences)]
            texts.append("\n\n".join(filter(None, parts)))
            print(texts[-1] + "\n", flush=True)
            problems += [f"{precision}: {problem}" for problem in offences]
    for path, text in (
        (args.json or (RESULTS / "compile_report.json" if complete else None), lines(rows)),
        (args.markdown or (RESULTS / "compile_report.md" if complete else None), "\n\n".join(texts) + "\n"),
    ):
        if path:
            options.save(Path(path), text)
    for problem in problems:
        print(f"UNFIT {problem}")
    return 1 if problems else 0


def different(launches: list[Launch], quick: bool = False) -> list[Kernel]:
    """The different kernels among `launches`, dearest first; if `quick`, the dearest of each name, and four of those."""
    kernels: dict[tuple, Kernel] = {}
    for launch in launches:
        kernels.setdefault(launch.key, Kernel([], {})).launches.append(launch)
    found = sorted(kernels.values(), key=lambda k: -sum(launch.flops + 100 * launch.bytes for launch in k.launches))
    if quick:
        first = {kernel.shown.name: kernel for kernel in reversed(found)}
        found = [kernel for kernel in found if first[kernel.shown.name] is kernel][:4]
    return found


def of_other_ops(kernels: list[Kernel], launches: list[Launch]) -> list[Kernel]:
    """Those of `launches` that no kernel is like: another function, or one given arrays that it lacks in a step."""
    known = {_form(kernel.shown) for kernel in kernels}
    others = different([launch for launch in launches if _form(launch) not in known])
    return [dataclasses.replace(kernel, role="op") for kernel in others]


def _form(launch: Launch) -> tuple:
    """A function, and which of its arrays are there: a norm with a scale and a shift is another kernel than one without."""
    return launch.name, *(name for name, kind in launch.signature.items() if kind.startswith("*"))


def with_other_tiles(kernels: list[Kernel], launches: list[Launch]) -> list[Kernel]:
    """Those of `launches` that are functions of `kernels`, but otherwise compiled."""
    known, names = {kernel.shown.key for kernel in kernels}, {kernel.shown.name for kernel in kernels}
    others = different([launch for launch in launches if launch.name in names and launch.key not in known])
    return [dataclasses.replace(kernel, role="candidate") for kernel in others]


def listed(problems: list[str]) -> str:
    """One to a line."""
    return "\n".join(f"- {problem}" for problem in problems) or "None."


def lines(rows: list[dict]) -> str:
    """A JSON list with one row to a line: a file that can be read, searched and compared."""
    return "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n"


def heading(precisions: Iterable[str], targets: Iterable[int]) -> str:
    """What the report is made with and what its numbers mean."""
    triton = machine.versions().get("triton", "?")
    return f"""# Compile report

One CycleGAN training step at the paper's setting (256 px, 64 channels, 9 blocks, batch 1, identity loss, pool, Adam), recorded
launch by launch without running it; every kernel compiled by Triton {triton} for the real layer shapes. So are those of ops that
this step does not use ("op" in the place of launches), at the shapes of `python -m benchmarks kernels`. No GPU took part. Here: {", ".join(precisions)}, for sm_{", sm_".join(map(str, targets))}.

MB count every array of a launch once. Waves: programs over those that all multiprocessors hold at a time; those of a GPU for
which nothing was compiled are those of older code of its generation, which it runs. Loads and stores: bytes for each thread
x instructions. Loop: instructions of the innermost one around a product.

Predicted µs are those of the kernel's largest launch, and behind them stands what decides: memory (dram), the L2 cache, from
which operands are read again (l2), instructions (issue), tensor cores (tensor), or round trips that too few programs hide
(latency), the longest in each round of resident programs; docs/gpu.md says how, and how far off that is. Predicted ms are those of all
launches of a step. PyTorch's numbers were measured beforehand, not by this
program."""


def _place(kind: str) -> str:
    return f"benchmarks/results/compile/compile_report.{kind}"
