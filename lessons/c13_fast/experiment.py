"""The ladders, on one thread of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from lessons.c13_fast.bars import Bars
from lessons.chapters import ROOT
from lessons.parts import Part

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
    """Four ladders: each rung's time, its rate, and its share of the roof."""
    print("four ladders, half a minute; numba compiles meanwhile", file=sys.stderr)
    command = [sys.executable, "-m", "lessons.c13_fast.climb"]
    answer = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True
    )
    return [drawn(ladder) for ladder in json.loads(answer.stdout.strip().split("\n")[-1])]


def drawn(ladder: dict) -> Bars:
    """A ladder as bars, the longest first."""
    memory = ladder["bound"] == "memory"
    unit, work = ("GB/s", ladder["bytes"]) if memory else ("GFLOP/s", ladder["flops"])
    rows = []
    for rung in ladder["rungs"]:
        rate = work / rung["ms"] / 1e6
        rows.append((rung["name"], rung["ms"], rate, rate / ladder["roof"], rung["error"]))
    if memory:
        note = (
            f"Roof: a copy of as many bytes, {ladder['roof']:.0f} GB/s on this core. The rate counts the "
            f"{work / 1e6:.1f} MB that must move, each number once."
        )
    else:
        note = (
            f"Roof: this core's best matrix product, {ladder['roof']:.0f} GFLOP/s. The rate counts the {work / 1e6:.0f} million "
            "operations of the definition; Winograd needs fewer, so it may pass 100 %."
        )
    return Bars(ladder["title"], unit, rows, note)
