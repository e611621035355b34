"""How a step scales over ranks: measured here, weak and strong, and predicted for GPUs that are not here.

Strong: one global batch is shared by more and more ranks. Weak: each rank adds as many images of its own.

The model of a step on n ranks is t s max(1, n/c) + 6 l(n) + v(n), where

    t     s of compute for an image of the rank that has most, s of them (one thread a rank); c: cores
    l(n)  a small gather, of which a step makes 6: l is measured at 2 ranks and grows by the ranks that share a core, and with log2 n
    v(n)  gradients: of its k partial sums a rank sends the other ranks' pieces, and then its piece of the sum to all;
          2 ranks' measured bytes per second and busy core are those of n ranks

t, l and the rate come from 1 and 2 ranks; what is predicted from them for 3 and 4 is measured afterwards. Nothing overlaps: gradients
travel when all of a player's are there (train/models/data_parallel.py).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine, options, table
from kernels.cpu.threads import CORES
from train.errors import UserError
from train.ranks.shards import shard
from train.ranks.sums import cover

Row = dict[str, Any]
SETTINGS: Row = dict(load_size=64, crop_size=64, ngf=16, ndf=16, n_blocks=3, pool_size=4)
QUICK: Row = dict(load_size=24, crop_size=24, ngf=1, ndf=1, n_blocks=0, pool_size=2)
GATHERS = 6  # of a step of CycleGAN: two a player, one at the end of the turns, one after the step
TOLERANCE = 0.15

# A step's default on a GPU is Python's: 376 launches (compile_report) at 38 µs (host_cost, on an AMD EPYC) and 4 of CUDA's own.
PAPER = 28.29e6  # weights of the four networks at the paper's size
NODE = 8  # GPUs that NVLink joins
HARDWARE = {  # assumptions of the prediction: bytes per second and GPU, seconds
    "within a host": (300e9, 15e-6),  # NVLink 4, two thirds of its 450 GB/s each way
    "between hosts": (40e9, 30e-6),  # one 400 Gbit/s adapter a GPU, four fifths of it
}
SMALL_CALL = 40e-6  # s of a small MPI gather among two processes


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks scale`."""
    parser.add_argument("--ranks", type=int, default=4, help="measure up to so many (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=12, help="global batch, strong; weak: a third of it a rank (default: %(default)s)")  # fmt: skip
    parser.add_argument("--steps", type=int, default=8, help="timed a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds over all sizes, of which the least counts (default: 3)")  # fmt: skip
    parser.add_argument("--gpu_ms", type=float, default=16.0, help="the prediction's step of one GPU, one image, by itself, without a CUDA graph (default: %(default)s)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a smoke test; its numbers mean nothing")
    parser.add_argument("--json", metavar="FILE", help="write the rows here")


def run(args: argparse.Namespace) -> int:
    """Measure, fit, compare, predict, print, write."""
    about = machine.describe()
    print(options.title(about), flush=True)
    settings = QUICK if args.quick else SETTINGS
    if args.quick:
        args.ranks, args.batch, args.steps, args.rounds = 2, 3, 1, 1
    rows = measured(settings, args.ranks, args.batch, args.steps, args.rounds)
    model = Model.fit(rows, min(CORES, args.ranks))
    for row in rows:
        row["predicted"] = model.step(row["ranks"], row["batch"], row["numbers"])
    print("\n" + show(rows, model))
    print("\n" + predictions(args.gpu_ms / 1e3))
    if args.json:
        options.save(Path(args.json), json.dumps([{**row, "machine": about} for row in rows], indent=1))
    return 0


def measured(settings: Row, most: int, batch: int, steps: int, rounds: int) -> list[Row]:
    """The least of several rounds over all numbers of ranks, weak and strong: others' work on this machine only ever adds."""
    wanted = dict.fromkeys([(n, batch) for n in range(1, most + 1)] + [(n, batch // 3 * n) for n in range(1, most + 1)])
    best: dict[tuple[int, int], Row] = {}
    for _ in range(rounds):
        for n, images in wanted:
            row = measure(n, dict(settings=settings, batch=images, steps=steps, exact=True))
            old = best.setdefault((n, images), row)
            best[n, images] = {**old, **{key: min(old[key], row[key]) for key in ("step", "gather", "sum")}}
            print(f"{n} ranks, {images} images: {best[n, images]['step']:.3f} s", flush=True)
    strong, weak = {(n, batch) for n in range(1, most + 1)}, {(n, batch // 3 * n) for n in range(1, most + 1)}
    return [
        {**best[key], "kind": " and ".join(["strong"] * (key in strong) + ["weak"] * (key in weak))}
        for key in sorted(best)
    ]


def measure(n: int, asked: Row) -> Row:
    """What n ranks of benchmarks/scale_worker.py find. UserError where there is no mpiexec, or they fail."""
    mpiexec = Path(sys.executable).parent / "mpiexec"
    command = [
        str(mpiexec) if mpiexec.exists() else "mpiexec",
        "-n",
        str(n),
        sys.executable,
        "-m",
        f"{__package__}.scale_worker",
    ]
    try:
        done = subprocess.run(
            [*command, json.dumps(asked)], check=False, capture_output=True, text=True, env=dict(os.environ)
        )
    except FileNotFoundError as error:
        raise UserError('there is no mpiexec: pip install -e ".[mpi]"') from error
    if done.returncode:
        raise UserError(f"{n} ranks failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Model:
    """Seconds of a step by the number of ranks; see this file's head."""

    def __init__(self, image: float, gather: float, rate: float, cores: int) -> None:
        self.image, self.call, self.rate, self.cores = image, gather, rate, cores

    @classmethod
    def fit(cls, rows: list[Row], cores: int) -> Model:
        """From one and two ranks."""
        one = min((r for r in rows if r["ranks"] == 1), key=lambda r: abs(r["batch"] - 12))
        two = next(r for r in rows if r["ranks"] == 2)
        rate = sent(2, 2, two["numbers"]) / (max(two["sum"], 1e-9) * min(2, cores))
        return cls(one["step"] / one["batch"], two["gather"], rate, cores)

    def step(self, n: int, batch: int, numbers: int) -> float:
        """Of n ranks, with a global batch of so many."""
        crowd = max(1.0, n / self.cores)
        most = max(len(shard(batch, 0, n)), batch / self.cores) if n > self.cores else len(shard(batch, 0, n)) * crowd
        return self.image * most + self.comm(n, batch, numbers)

    def comm(self, n: int, batch: int, numbers: int) -> float:
        """What of it is communication."""
        if n == 1:
            return 0.0
        gather = self.call * math.log2(n) * max(1.0, n / self.cores)
        return GATHERS * gather + sent(n, batch, numbers) / (self.rate * min(n, self.cores))


def sent(n: int, batch: int, numbers: int) -> float:
    """Bytes that n ranks send each other for the gradients of a step, all together."""
    nodes = sum(len(cover(shard(batch, rank, n))) for rank in range(n))
    return 4.0 * numbers * (nodes * (n - 1) / n + (n - 1))


def show(rows: list[Row], model: Model) -> str:
    """Measured and predicted steps, and what the fit found."""
    base = {row["batch"]: row["step"] for row in rows if row["ranks"] == 1}
    head = ["ranks", "batch", "", "step s", "comm", "images/s", "predicted s", "off"]
    lines = [
        [
            str(r["ranks"]), str(r["batch"]), r["kind"], f"{r['step']:.3f}", f"{min(r['comm']) / r['step']:.0%}",
            f"{r['batch'] / r['step']:.2f}", f"{r['predicted']:.3f}", f"{r['predicted'] / r['step'] - 1:+.0%}",
        ]
        for r in rows
    ]  # fmt: skip
    off = [abs(r["predicted"] / r["step"] - 1) for r in rows if r["ranks"] > 2]
    fit = f"fit: {model.image:.4f} s an image, {1e3 * model.call:.2f} ms a small gather, {model.rate / 1e9:.2f} GB/s a busy core, {model.cores} cores"
    beyond = (
        f"3 and more ranks: off by at most {max(off):.0%}, wanted {TOLERANCE:.0%}"
        if off
        else "more than 2 ranks were not measured"
    )
    assert base
    return "\n".join([table.render(head, lines), "", fit, beyond])


def predictions(image: float) -> str:
    """Weak scaling over GPUs at the paper's size, one image a GPU and step: exact and fast move as many numbers then."""
    head = [
        "GPUs",
        "hosts",
        "batch",
        "gradients ms",
        "small calls ms",
        "step ms",
        "images/s",
        "of n GPUs alone",
        "were all of it hidden",
    ]
    lines = []
    for n in (1, 8, 64, 512):
        gradients, calls = gpu_comm(n)
        step = image + gradients + calls
        lines.append(
            [str(n), str(-(-n // NODE)), str(n), f"{1e3 * gradients:.2f}", f"{1e3 * calls:.2f}", f"{1e3 * step:.1f}", f"{n / step:.0f}",
             f"{image / step:.0%}", f"{image / (image + calls):.0%}"]
        )  # fmt: skip
    about = "at the paper's size (256 pixels, 28.3 M weights in float32, one image a GPU and step), not measured:"
    assumed = "; ".join(
        f"{name} {rate / 1e9:.0f} GB/s a GPU and {1e6 * delay:.0f} µs a call"
        for name, (rate, delay) in HARDWARE.items()
    )
    small = f"a small gather {1e6 * SMALL_CALL:.0f} µs times log2 of the ranks, {GATHERS} a step"
    return (
        f"Predicted for GPUs, {about}\n{table.render(head, lines)}\n"
        f"Assumed: {1e3 * image:.1f} ms a step of one GPU alone (--gpu_ms); NCCL, {assumed}, {NODE} GPUs a host; {small}; nothing "
        "overlaps; no rank is slower than another."
    )


def gpu_comm(n: int) -> tuple[float, float]:
    """Seconds of a step's gradients, and of its small calls, on n GPUs of which each has one image."""
    if n == 1:
        return 0.0, 0.0
    rate, delay = HARDWARE["within a host" if n <= NODE else "between hosts"]
    buckets = 2 * math.ceil(PAPER / 2 / (1 << 22))
    moved = 2 * 4 * PAPER * (n - 1) / n / rate
    messages = 2 * buckets * delay * math.log2(n)
    return moved + messages, GATHERS * SMALL_CALL * math.log2(n)
