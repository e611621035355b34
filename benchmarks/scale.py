"""How a step scales over ranks: measured here, weak and strong, and predicted for GPUs that are not here.

Strong: one global batch is shared by more and more ranks. Weak: each rank adds as many images of its own. A model (scale_model.py) is
fitted to 1 and 2 ranks; what it predicts for 3 and 4 is measured afterwards and held beside it. Then 8, 64 and 512 GPUs (scale_gpus.py).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, options, table
from benchmarks.scale_gpus import predictions
from benchmarks.scale_model import Model, Parts, parts_of
from kernels.cpu.threads import CORES
from train.errors import UserError

Row = dict[str, Any]
SETTINGS: Row = dict(load_size=64, crop_size=64, ngf=16, ndf=16, n_blocks=3, pool_size=4)
WIDE: Row = dict(
    load_size=32, crop_size=32, ngf=64, ndf=64, n_blocks=3, pool_size=4
)  # 13 M weights, in four buckets, and little work
QUICK: Row = dict(load_size=24, crop_size=24, ngf=1, ndf=1, n_blocks=0, pool_size=2)
TOLERANCE = 0.15


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
    """Measure, fit, predict, measure the rest, compare, write."""
    about = machine.describe()
    print(options.title(about), flush=True)
    settings = QUICK if args.quick else SETTINGS
    if args.quick:
        args.ranks, args.batch, args.steps, args.rounds = 2, 3, 1, 1
    cores, sizes = min(CORES, args.ranks), range(1, args.ranks + 1)
    known = measured(settings, sizes[:2], args)
    parts = {n: least(n, settings, args.rounds) for n in sizes if n <= 2 or n > cores}
    model = Model.fit({row["batch"]: row["work"][0] for row in known if row["ranks"] == 1}, parts, cores, met)
    told = {(n, batch): model.step(n, batch) for n in sizes for batch in kinds(n, args.batch)}
    rows = [
        {**row, "predicted": told[row["ranks"], row["batch"]]} for row in (*known, *measured(settings, sizes[2:], args))
    ]
    print("\n" + show(rows, model))
    if args.ranks > 1 and not args.quick:
        found = launch(2, "beside", settings=WIDE, count=args.steps)
        print(
            f"\n13 M weights, 2 ranks, 32 pixels: {found['beside']:.3f} s a step with gradients sent beside the backward, {found['after']:.3f} s after it"
        )
    print("\n" + predictions(args.gpu_ms / 1e3))
    if args.json:
        options.save(Path(args.json), json.dumps([{**row, "machine": about} for row in rows], indent=1))
    return 0


def kinds(n: int, batch: int) -> dict[int, str]:
    """The global batches of n ranks, and whether they are those of strong or of weak scaling."""
    found: dict[int, str] = {}
    for images, kind in ((batch // 3 * n, "weak"), (batch, "strong")):
        found[images] = f"{found[images]} and {kind}" if images in found else kind
    return found


def measured(settings: Row, sizes: Sequence[int], args: argparse.Namespace) -> list[Row]:
    """The least of several rounds over all numbers of ranks: others' work on this machine only ever adds."""
    best: dict[tuple[int, int], Row] = {}
    for _ in range(args.rounds):
        for n in sizes:
            for batch, kind in kinds(n, args.batch).items():
                row = {"ranks": n, "batch": batch, "kind": kind}
                row |= launch(n, "steps", settings=settings, batch=batch, count=args.steps)
                print(f"{n} ranks, {batch} images: {row['step']:.3f} s", flush=True)
                if row["step"] <= best.get((n, batch), row)["step"]:
                    best[n, batch] = row
    return [best[key] for key in sorted(best)]


def least(n: int, settings: Row, rounds: int) -> Parts:
    """What the parts of a step cost n ranks by themselves: of each the least of several rounds."""
    found = [launch(n, "alone", settings=settings) for _ in range(rounds)]
    return parts_of(
        {**found[0], **{name: min(each[name] for each in found) for name in ("pair", "gather", "fakes", "sum")}}
    )


def met(n: int, work: Sequence[Sequence[float]]) -> float:
    """The seconds until n ranks have worked and met, turn by turn: work[turn][rank] s of a core."""
    return launch(n, "meetings", work=[list(own) for own in work])["met"]


def launch(n: int, what: str, **asked: Any) -> Row:
    """What n ranks of benchmarks/scale_worker.py find. UserError where there is no mpiexec, or they fail."""
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else "mpiexec"
    command = [mpiexec, "-n", str(n), sys.executable, "-m", f"{__package__}.scale_worker", what, json.dumps(asked)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=dict(os.environ))
    except FileNotFoundError as error:
        raise UserError('there is no mpiexec: pip install -e ".[mpi]"') from error
    if done.returncode:
        raise UserError(f"{n} ranks failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def show(rows: list[Row], model: Model) -> str:
    """Measured and predicted steps, and what the fit found."""
    head = ["ranks", "batch", "", "step s", "comm", "images/s", "predicted s", "off"]
    lines = [
        [
            str(r["ranks"]), str(r["batch"]), r["kind"], f"{r['step']:.3f}", f"{min(r['comm']) / r['step']:.0%}",
            f"{r['batch'] / r['step']:.2f}", f"{r['predicted']:.3f}", f"{r['predicted'] / r['step'] - 1:+.0%}",
        ]
        for r in rows
    ]  # fmt: skip
    off = [abs(r["predicted"] / r["step"] - 1) for r in rows if r["ranks"] > 2]
    beyond = (
        f"3 and more ranks: off by at most {max(off):.0%}, wanted {TOLERANCE:.0%}"
        if off
        else "more than 2 ranks were not measured"
    )
    return "\n".join([table.render(head, lines), "", model.told(), beyond])
