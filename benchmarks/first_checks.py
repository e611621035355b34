"""The phases of a first run that say what is right: every op, and the replayed step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.first_plan import Plan, Rows, real_cases
from benchmarks.harness import Row
from benchmarks.providers import Ours, OursEager
from kernels.gpu.launch import hooks


def correctness(plan: Plan, rows: Rows) -> None:
    """Every op at its real size in this precision, forward and all gradients, outputs full of NaN beforehand, against torch in
    float64 on the same device; and the same bits again."""
    from benchmarks.op_providers import OpWork, OursOps
    from benchmarks.race import differ, wrong
    from benchmarks.torch_ops import TorchOps, TruthOps

    work = OpWork(plan.device, plan.precision, full=plan.device == "cuda")
    truths, ours = truth_here(TruthOps, TorchOps, work), OursOps(work)
    for name in real_cases(plan):
        row: Row = {"what": "op", "case": name, "precision": plan.precision}
        rows.add(**row | {"what": "begun"})  # else nobody would know who never came back
        try:
            key = (name, "both", 0)
            with mock.patch.object(hooks, "allocate", full_of_nan):
                first, again = ({**ours.result(ours.run(ours.inputs(key)))} for _ in range(2))
            with sides_of(first["y"]) if (sided := has_sides(name)) else contextlib.nullcontext():
                truth = truths.result(truths.run(truths.inputs(key)))
            row["same_bits"] = all(first[n].tobytes() == again[n].tobytes() for n in truth)
            row["problem"] = wrong(name, first, truth, work, sided) or (
                "" if row["same_bits"] else "other bits when run again"
            )
            row["of_allowed"] = differ(name, first, truth, work, sided=sided)
            row["relative"] = {n: norm(first[n] - t) / max(norm(t), 1e-30) for n, t in truth.items()}
        except Exception as error:  # noqa: BLE001  the other ops should still be tried
            row["problem"] = f"{type(error).__name__}: {error}"
        rows.add(**row)
    rows.add(what="done", precision=plan.precision)


def has_sides(name: str) -> bool:
    """Whether a result tells on which side of a kink each number lay: a (leaky) ReLU comes last."""
    from benchmarks.op_providers import case
    from benchmarks.race import has_a_kink

    return has_a_kink(case(name)) and case(name).shapes.get("skip") is None


@contextlib.contextmanager
def sides_of(y: np.ndarray) -> Iterator[None]:
    """Inside, the truth's activations take the side of their kink that y [N,P,Q,K] is on.

    At full size thousands of numbers lie within a rounding of it, and one on the other side has another gradient altogether.
    That the sides are right says y, which is compared too.
    """
    import torch

    from tests import torch_ops

    def activated(x: Any, activation: str, slope: float) -> Any:
        below = x * {"none": 1.0, "relu": 0.0, "leaky_relu": slope}[activation]
        return torch.where(torch.as_tensor(y > 0, device=x.device), x, below)

    with mock.patch.object(torch_ops, "activated", activated):
        yield


def truth_here(truth: Any, base: Any, work: Any) -> Any:
    """Torch in float64 where `work` is done; the tests' truth itself computes on the CPU, where these sizes take minutes."""
    made = truth.__new__(truth)
    base.__init__(made, work)
    return made


def norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(x))


def full_of_nan(xp: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """An output before it is written."""
    array = xp.empty(shape, dtype)
    if dtype.kind in "fV":  # V: bfloat16
        array.fill(np.nan)
    return array


def graph(plan: Plan, rows: Rows) -> None:
    """The step launched kernel by kernel against the same step replayed from a graph: equal bits in losses and weights."""
    warm, steps = (2, 6) if plan.device == "cuda" else (1, 2)
    from train.models.graphed_step import GraphedStep

    with contextlib.ExitStack() as stack:
        misses = stack.enter_context(cache_misses())
        if plan.device != "cuda":
            from tests.replayed_arrays import array_operations

            stack.enter_context(array_operations())
        contestants = [made(plan.work) for made in (Ours, OursEager)]
        for each in contestants:
            each.load()
        replayed = contestants[0].model.graphed = GraphedStep(contestants[0].model, warm)
        for number in range(1, steps + 1):
            start = time.perf_counter()
            graphed, eager = (each.result(each.run(each.inputs(number))) for each in contestants)
            unequal = [n for n in eager if np.asarray(eager[n]).tobytes() != np.asarray(graphed[n]).tobytes()]
            losses = {name: value for name, value in eager.items() if isinstance(value, float)}
            rows.add(
                what="step", number=number, precision=plan.precision, replayed=replayed.graph is not None,
                unequal=unequal, finite=all(np.isfinite(v) for v in losses.values()), losses=losses,
                seconds=time.perf_counter() - start,
            )  # fmt: skip
    rows.add(what="done", precision=plan.precision, compiled_late=misses, device_mb=contestants[0].device_mb())


@contextlib.contextmanager
def cache_misses() -> Iterator[list[str]]:
    """The kernels that a launch did not find compiled."""
    from triton import knobs

    missed: list[str] = []

    def listen(*, src: Any, cache_hit: bool, **_: Any) -> None:
        if not cache_hit:
            missed.append(src.name)

    with mock.patch.object(knobs.compilation, "listener", listen):
        yield missed
