"""The ladder, on one thread of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from lessons.c13_fast.ladder import FLOPS
from lessons.chapters import ROOT
from lessons.parts import Part, Table

ONE_THREAD = {
    name: "1"
    for name in (
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
    )
}


def show() -> list[Part]:
    """A table: each rung beside the one before, and beside the roof."""
    print("seven rungs; numba compiles for a while", file=sys.stderr)
    command = [sys.executable, "-m", "lessons.c13_fast.ladder"]
    answer = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True
    )
    *rungs, roof = json.loads(answer.stdout.strip().split("\n")[-1])
    rows, before = [], None
    for rung in rungs:
        gflops = FLOPS / rung["ms"] / 1e6
        gain = f"{before / rung['ms']:.1f}×" if before else ""
        rows.append(
            (
                rung["name"],
                f"{rung['ms']:.2f}",
                gain,
                f"{gflops:.2f}",
                f"{gflops / roof['gflops']:.0%}",
                f"{rung['error']:.0e}",
            )
        )
        before = rung["ms"]
    note = f"Roof: NumPy's best matrix product of 128, 256 or 512 rows, {roof['gflops']:.0f} GFLOP/s on one thread. Share counts the {FLOPS / 1e6:.0f} million operations of the definition; Winograd needs fewer, so it may pass 100 %."
    return [
        Table(
            "3×3 convolution, 64×64, 32 → 32 channels, one thread",
            ("rung", "ms", "faster than the one above", "GFLOP/s", "of the roof", "error"),
            rows,
            note,
        )
    ]
