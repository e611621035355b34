"""Options that the commands share, and the frame around each measurement: control, measure, control, print, write."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import machine, plot
from benchmarks.harness import Row
from benchmarks.providers import Work
from benchmarks.worker import environment
from kernels.gpu.autotune import IN_CACHE, file_called
from train.errors import UserError

PRECISIONS = {
    "fp32": "float32, products in full",
    "tf32": "float32, products on tensor cores (TF32)",
    "bf16": "bfloat16 activations over float32 weights (torch: autocast, and single ops in bfloat16)",
}


VECTORS = {
    256: {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+sse4.2,+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt,+movbe",
        "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
    128: {"NUMBA_CPU_NAME": "generic", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}  # fmt: skip
"""Variables that keep each library to older instructions, by the bits of a vector: AVX2's, and those of every x86-64."""


def versus(parser: argparse.ArgumentParser, providers: Mapping[str, Any], default: str, more: str = "") -> None:
    """--against"""
    known = ", ".join(name for name in providers if name != "ours")
    parser.add_argument("--against", default=default, help=f"some of {known}{more} (default: %(default)s)")


def device(parser: argparse.ArgumentParser) -> None:
    """--device, --precision and --tune"""
    parser.add_argument(
        "--device", choices=("cpu", "cuda", "interpret"), default="cpu",
        help="where to compute; interpret runs the GPU's kernels in Triton's interpreter, to check them: its times mean "
        "nothing (default: cpu)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=tuple(PRECISIONS), default="fp32",
        help="on a GPU, ours and torch's alike: float32 products in full, on tensor cores (tf32), or bfloat16 activations "
        "over float32 weights, which torch calls autocast (default: fp32)",
    )  # fmt: skip
    parser.add_argument(
        "--tune", metavar="FILE", default="",
        help=f"on a GPU: measure our products' tiles first and keep the fastest in this file; auto is {IN_CACHE} "
        "(default: tiles from a table)",
    )  # fmt: skip


def output(parser: argparse.ArgumentParser) -> None:
    """--quick, --threads, --json, --csv, --plot"""
    parser.add_argument("--quick", action="store_true", help="a smoke test of seconds; its numbers mean nothing")
    parser.add_argument("--threads", type=int, default=0, help="threads on every side (0: each library's own choice)")
    parser.add_argument("--json", metavar="FILE", help="write the rows here")
    parser.add_argument("--csv", metavar="FILE", help="write them here as a table for other programs")
    parser.add_argument("--plot", metavar="FILE", help="draw them here (.svg or .png)")


def measuring(parser: argparse.ArgumentParser) -> None:
    """--pairs, --starts, --burner and --vectors, and what every command has"""
    parser.add_argument("--pairs", type=int, default=5, help="alternating measurements (default: %(default)s)")
    parser.add_argument(
        "--starts", type=int, default=3, help="fresh processes per side, for the time to the first result (default: 3)"
    )
    parser.add_argument(
        "--burner",
        type=int,
        default=0,
        metavar="CORES",
        help="time everything again while a program that spins occupies each of so many cores (default: 0)",
    )
    parser.add_argument(
        "--vectors", type=int, choices=tuple(VECTORS), default=0,
        help="ours and torch's alike: as on an x86 processor whose vectors have only so many bits (default: this one's)",
    )  # fmt: skip
    output(parser)


def chosen(text: str, known: Mapping[str, Any], option: str) -> list[str]:
    """The names in a comma-separated list; UserError for one that is not known."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UserError(f"{option} {name}: wanted some of {', '.join(known)}, separated by commas")
    return names


def contestants(against: str, providers: Mapping[str, Any]) -> dict[str, str]:
    """Name -> "module:Class", ours first. "module:Class" itself is taken too."""
    known = {**providers, **{name.strip(): ((name.strip(),) * 2,) for name in against.split(",") if ":" in name}}
    return dict(entry for name in ["ours", *chosen(against, known, "--against")] for entry in known[name])


def with_device(work: Work, args: argparse.Namespace) -> Work:
    """`work` where and how the options say."""
    return dataclasses.replace(work, device=args.device, precision=args.precision, tune=args.tune)


def effort(args: argparse.Namespace) -> dict[str, Any]:
    """How long to measure, for harness.contest."""
    if args.quick:
        return dict(pairs=1, starts=1, at_least=0.0, burner=args.burner)
    return dict(pairs=args.pairs, starts=args.starts, burner=args.burner)


Measure = Callable[[], Iterable[list[Row]]]
"""Measures, and yields rows as they are done."""


def report(args: argparse.Namespace, command: str, measure: Measure, show: Callable[[list[Row]], str]) -> int:
    """Run `measure` between two controls, print its table, write what was asked for; 1 if a result was wrong.

    Rows are written to --json whenever some are done, so that an interruption loses only what was being measured.
    UserError for a precision that the device does not have, and for measuring tiles without a GPU.
    """
    on, precision = getattr(args, "device", "cpu"), getattr(args, "precision", "fp32")
    if on == "cpu" and precision != "fp32":
        raise UserError(
            f"--precision {precision} with --device cpu: the CPU computes in full float32; leave --precision out, or choose "
            "--device cuda, or interpret to check the GPU's kernels without one"
        )
    if on != "cuda" and getattr(args, "tune", ""):
        raise UserError(f"--tune {args.tune} with --device {on}: tiles are measured on a GPU; leave it out")
    threads = dict.fromkeys(machine.THREAD_VARIABLES, str(args.threads)) if args.threads else {}
    with environment(threads | VECTORS.get(getattr(args, "vectors", 0), {})):
        return _report(args, command, measure, show)


def _report(args: argparse.Namespace, command: str, measure: Measure, show: Callable[[list[Row]], str]) -> int:
    on, precision = getattr(args, "device", "cpu"), getattr(args, "precision", "fp32")
    seconds = 0.05 if args.quick else 0.5
    about = machine.describe(on)
    said = f"device {on}, {PRECISIONS[precision]}" + ("; TIMES MEAN NOTHING HERE" if on == "interpret" else "")
    said += f"; our tiles measured, in {file_called(args.tune)}" if getattr(args, "tune", "") else ""
    asked = {name: getattr(args, name, 0) for name in ("vectors", "burner") if getattr(args, name, 0)}
    said += f"; as with vectors of {asked['vectors']} bits" if "vectors" in asked else ""
    heading = f"{title(about)}\n{said}"
    print(heading, flush=True)
    rows: list[Row] = []
    common: dict[str, Any] = {**asked, "control": {"before": machine.control(seconds, on)}, "machine": about}
    try:
        for found in measure():
            rows += [{**row, **common} for row in found]
            if args.json:
                save(Path(args.json), json.dumps(rows, indent=1), say=False)
    except KeyboardInterrupt:
        if not rows:
            raise
        print("\ninterrupted; this is what was done:")
    control = common["control"]
    control["after"] = machine.control(seconds, on)
    text = "\n".join((show(rows), "", machine.drift(control["before"], control["after"])))
    print("\n" + text)
    write(args, command, rows, f"{heading}\n\n{text}")
    wrong = {f"{row['work']}, {row['provider']}: {row['error']}" for row in rows if row.get("wrong")}
    for line in sorted(wrong):
        print(f"\nWRONG: {line}")
    return 1 if wrong else 0


def title(about: dict[str, Any]) -> str:
    """The machine in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    place = ", ".join(filter(None, (about.get("gpu"), about["cpu"], f"{about['cores']} cores")))
    return f"{place}; Python {about['python']}, {versions}; commit {about['commit']}; {about['date']}"


def write(args: argparse.Namespace, command: str, rows: list[Row], text: str) -> None:
    """--json, --csv and --plot; from a GPU, unless --json names a file, a table under benchmarks/results/<gpu>/."""
    if args.json:
        save(Path(args.json), json.dumps(rows, indent=1))
    if args.csv:
        save(Path(args.csv), as_csv(rows))
    if args.plot:
        plot.save(plot.DRAWINGS[command](rows), Path(args.plot))
    if getattr(args, "device", "cpu") == "cuda" and not args.quick and not args.json:
        folder = machine.results_folder("cuda")
        name = f"{command}-{args.precision}"
        save(folder / f"{name}.txt", text + "\n")
        save(folder / f"{name}.json", json.dumps(rows, indent=1))


def as_csv(rows: list[Row]) -> str:
    """The rows as comma-separated values: a column for each number and word, "seconds.median" for one within another."""
    flat = [dict(_flat(row)) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in flat for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _flat(row: Row, inside: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{inside}{name}.")
        elif not isinstance(value, list) and name != "details":
            yield f"{inside}{name}", value


def save(path: Path, text: str, say: bool = True) -> None:
    """Write a file and, unless told otherwise, say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    if say:
        print(f"wrote {path}")
