"""A race of single ops: who is right is timed, in turns, and whose time cannot be believed is refused.

    gate -> warm-up -> rounds, in every other the other way round -> the last round, on other data in the same arrays
         -> what that round put out -> the times against the machine's floor

Refused are, each with its reason in the place of a speed: a wrong result; a result in another precision than was asked for, or
only as exact as a lower one; one that is right before the timing and wrong after; one that writes into its inputs; a time below
what the hardware allows; and whoever brings a clock, as only ours empties the caches for a race on cold ones.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from benchmarks.costs import FUSED, Cost, op_cost
from benchmarks.harness import Row, ratios, spread
from benchmarks.op_providers import OpWork, case
from benchmarks.peaks import Peaks
from benchmarks.worker import Result, WorkerError
from tests.cases import Case
from tests.tolerances import tolerance

LONGER_SUMS = 10  # the tests' tolerances are for small shapes; real layers add up to 64 times as many terms
# Some numbers lie within rounding of a ReLU's kink, and on its other side their gradient differs entirely. So such gradients are
# judged as a whole, |ours - truth| / |truth|. Measured at full size: 2e-3 in float32, for three or four among millions. By the
# formula with what a precision rounds on the way, the largest of all cases: 1.5e-2 with operands cut to TF32, 5.3e-2 with a map
# stored in bfloat16 ahead of the norm, where one in 700 lies on the other side. Torch's own are as far off.
KINK = {"fp32": 1e-2, "tf32": 3e-2, "bf16": 0.1}
DIRECTIONS = ("forward", "backward", "both")
SEEDS = (0, 1)  # of the data at the gate, and of the last round's
Ask = Callable[..., Any]
"""A worker (benchmarks/worker.py): ask("method", arguments ...)."""


@dataclass(frozen=True)
class Rules:
    """How a race is run. `missing` has the directions in which a contestant is the reference, because its file lacks them."""

    work: OpWork
    directions: tuple[str, ...] = DIRECTIONS[:2]
    pairs: int = 5
    at_least: float = 0.15  # s of each measurement
    cold: bool = False
    missing: Mapping[str, frozenset[str]] = field(default_factory=dict)


def race(name: str, workers: Mapping[str, Ask], judge: Ask, rules: Rules, peaks: Peaks) -> list[Row]:
    """One row for each direction and contestant; the first is ours, and ratios are ours / theirs."""
    try:
        truths = [judge("result", (name, "both", seed))[0] for seed in SEEDS]
    except WorkerError as error:
        shape = {"work": name, "direction": "both", "provider": "truth"}
        return [{**shape, "error": f"the op refuses these inputs: {error}", "details": error.details}]
    rows: list[Row] = [
        {
            "work": name,
            "direction": direction,
            "provider": provider,
            **described(name, rules.work, truths[0], direction),
        }
        for direction in rules.directions
        for provider in workers
        if direction not in rules.missing.get(provider, ())
    ]
    for provider, worker in workers.items():
        refusal = gate(name, worker, truths[0], rules)
        for row in rows:
            row |= refusal if row["provider"] == provider else {}
    if any("error" in row for row in rows if row["provider"] == next(iter(workers))):
        return rows  # beside what is not right nothing is worth timing
    for direction in rules.directions:
        running = [row for row in rows if row["direction"] == direction and "error" not in row]
        take_turns(running, workers, rules)
        for row in running:
            row |= afterwards(row, workers[row["provider"]], truths[1], rules)
            row |= {} if "error" in row else possible(row, rules, peaks)
            if "error" in row:
                row.pop("samples", None)
        first = running[0] if running and running[0]["provider"] == next(iter(workers)) else {}
        for row in (row for row in running if "samples" in row):
            row["seconds"] = spread(row["samples"])
            row |= rates(row, rules, peaks)
            if row is not first and "samples" in first:
                row["ratio"] = spread(ratios(first["samples"], row["samples"]))
    return rows


def described(name: str, work: OpWork, truth: Result, direction: str) -> Row:
    """The shapes, what the pass costs, and what one should know of it."""
    c = case(name)
    shapes = [shape for shape in (c.full or c.shapes if work.full else c.shapes).values()]
    cost = op_cost(c.op, shapes, truth["y"].shape, direction, work.dtype.itemsize)
    fused = {"forward": "makes dx too", "backward": "only scales dx, which the forward made"}
    note = {"note": fused[direction]} if c.op in FUSED and direction in fused else {}
    shown = " ".join("x".join(map(str, shape)) for shape in shapes if shape is not None)
    return {"op": c.op, "shapes": shown, **vars(cost), **note}


def gate(name: str, worker: Ask, truth: Result, rules: Rules) -> Row:
    """Nothing, or why a contestant is not timed."""
    try:
        problem = wrong(name, worker("result", (name, "both", 0))[0], truth, rules.work)
    except WorkerError as error:
        return {"error": str(error), "details": error.details}
    return {"wrong": True, "error": problem} if problem else {}


def take_turns(running: list[Row], workers: Mapping[str, Ask], rules: Rules) -> None:
    """Time the rows' contestants: all on the same data, but for the last round, whose other data lie in the same arrays."""
    for index in range(-1, rules.pairs):
        for row in running[:: -1 if index % 2 else 1]:
            key = (row["work"], row["direction"], int(index == rules.pairs - 1))
            if "error" in row:
                continue
            try:
                times = workers[row["provider"]]("time", key, rules.at_least if index >= 0 else 0.0, rules.cold)
            except WorkerError as error:
                row |= {"error": str(error), "details": error.details}
                continue
            if index >= 0:  # the first is a warm-up
                row.setdefault("samples", []).append(statistics.median(times))


def afterwards(row: Row, worker: Ask, truth: Result, rules: Rules) -> Row:
    """Nothing, or why its times do not count: the runs that were timed did something else than those at the gate."""
    if "error" in row:
        return {}
    try:
        timed = worker("timed")
        problem = wrong(row["work"], timed, {name: truth[name] for name in timed if name in truth}, rules.work)
        changed = worker("changed", (row["work"], row["direction"], 1))
    except WorkerError as error:
        return {"error": str(error), "details": error.details}
    if problem:
        return {"wrong": True, "error": f"right before the timing and wrong after, on other data: {problem}"}
    return {"wrong": True, "error": f"writes into its inputs: {', '.join(changed)}"} if changed else {}


def possible(row: Row, rules: Rules, peaks: Peaks) -> Row:
    """Nothing, or why no machine like this one can be as fast."""
    cost = cost_of(row)
    least, floor = min(row["samples"]), peaks.floor(cost, rules.cold)
    if least >= floor or rules.work.device == "interpret":
        return {}
    what = f"{cost.least_bytes / 1e6:.3g} MB to read" + (
        f" and {cost.least_flops / 1e9:.3g} GFLOP" if cost.least_flops else ""
    )
    place = " from cold caches" if rules.cold else ""
    words = (
        f"impossible: {least * 1e6:.3g} µs for {what}{place}; this machine needs {floor * 1e6:.3g} µs at the very least"
    )
    return {"wrong": True, "error": words}


def rates(row: Row, rules: Rules, peaks: Peaks) -> Row:
    """GFLOP/s and GB/s, the share of the roof, and whether that is one of "compute" or of "memory"."""
    median, cost = row["seconds"]["median"], cost_of(row)
    return {
        "gflops": cost.flops / median / 1e9,
        "gbs": cost.bytes / median / 1e9,
        "of_roof": peaks.roof(cost, rules.cold) / median,
        "bound_by": peaks.bound(cost, rules.cold),
    }


def cost_of(row: Row) -> Cost:
    return Cost(*(row[f.name] for f in fields(Cost)))


def wrong(name: str, result: Result, truth: Result, work: OpWork, sided: bool = False) -> str:
    """Why output and gradients are not the truth's, or "". `sided`: see `differ`."""
    if result.keys() != truth.keys():
        return f"wrong result: gives {', '.join(result)}, wanted {', '.join(truth)}"
    for k, t in truth.items():
        if result[k].shape != t.shape:
            return f"wrong result: {k} has shape {result[k].shape}, wanted {t.shape}"
        if result[k].dtype != np.float32:
            return f"unequal precision: {k} is {result[k].dtype}, wanted {work.dtype}"
    worst = differ(name, result, truth, work, sided=sided)
    if worst <= 1:
        return ""
    lower = work.precision == "fp32" and differ(name, result, truth, work, "bfloat16") <= 1
    return f"wrong result: {worst:.3g} times the allowed difference" + (
        "; unequal precision: as exact as half precision is, where float32 was asked for" if lower else ""
    )


def differ(name: str, result: Result, truth: Result, work: OpWork, dtype: str = "", sided: bool = False) -> float:
    """How far output and gradients lie from the truth's, in units of the tests' tolerance for `dtype`.

    `sided`: the truth's gradients were made with each number on that side of its kink on which the result has it.
    """
    c = case(name)
    rtol, atol = tolerance(c.op, dtype or ("float32" if work.precision == "fp32" else "bfloat16"), c.values)
    scale = LONGER_SUMS if work.full else 1
    worst = []
    for k, t in truth.items():
        difference = abs(result[k] - t)
        if (work.full or work.precision != "fp32") and k != "y" and has_a_kink(c):
            worst.append(np.linalg.norm(difference) / np.linalg.norm(t) / KINK["fp32" if sided else work.precision])
        else:
            allowed = scale * (rtol * abs(t) + atol * max(1.0, abs(t).max()))
            if c.op == "tanh" and k == "dx" and work.precision == "bf16":
                allowed += of_a_rounded_output(name, work, t)
            worst.append(np.max(difference / allowed))
    return float(np.max(worst))  # NaN stays NaN


def of_a_rounded_output(name: str, work: OpWork, dx: np.ndarray) -> np.ndarray:
    """How far tanh's dx = dy - dy y y lies off, at the most, for reading a y that was stored in 8 digits: 2^-8 of y, so twice that
    of the second term, to which the first cancels where y is near 1. Torch's own, which reads y too, is as far off."""
    dy = np.maximum(*(abs(work.upstream(name, dx.shape, seed).astype(np.float32)) for seed in SEEDS))
    return 2 * 2.0**-8 * (dy - abs(dx))


def has_a_kink(c: Case) -> bool:
    """Whether a (leaky) ReLU follows a computed number."""
    return c.settings.get("activation", "relu" if c.op.endswith("norm_relu") else "none") != "none"
