"""What `python -m benchmarks first_run` does in processes of its own: each phase writes rows, one line of JSON each, as it gets them.

    python -m benchmarks.first_phases PHASE SETTINGS        # SETTINGS: JSON of Plan (benchmarks/first_plan.py)

On the device `interpret` the same code runs small, and every launch also goes through Triton's launching code to a driver that
launches nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gpu, machine
from benchmarks.first_checks import correctness, graph
from benchmarks.first_plan import Plan, Rows, precisions, read_rows, real_cases
from benchmarks.harness import Row
from benchmarks.providers import OursEager
from kernels.gpu.launch import hooks, recorded

REQUIRED = ("numpy", "triton", "cupy", "ml_dtypes", "numba", "PIL", "tqdm", "matplotlib", "torch", "pytest")


def ceilings(plan: Plan, rows: Rows) -> None:
    """What is here, and what it can do at best."""
    rows.add(what="machine", **machine.describe(plan.device))
    rows.add(what="lacking", names=[name for name in REQUIRED if importlib.util.find_spec(name) is None])
    rows.add(
        what="tools", **{name: shutil.which(name) or "" for name in ("nvidia-smi", "ncu", "compute-sanitizer", "gcc")}
    )
    asked = "name,driver_version,memory.total,clocks.max.sm,clocks.max.mem,power.limit,temperature.gpu"
    rows.add(what="nvidia-smi", line=machine._ask("nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"))
    rows.add(what="small", **small(plan))
    if plan.device == "cuda":
        for precision in ("fp32", "bf16"):
            rows.add(what="peaks", precision=precision, **gpu.control(2.0, precision))
        rows.add(what="replay", **empty_replay())


def small(plan: Plan) -> Row:
    """One kernel of ours and one operation of the array library, in bfloat16 where it can be had: whether anything runs at all."""
    from benchmarks.op_providers import OpWork
    from kernels.device import get_device, to_host
    from kernels.tanh import gpu as tanh

    device, start = get_device(plan.device), time.perf_counter()
    x = device.asarray(np.linspace(-2, 2, 1000, dtype=np.float32).astype(OpWork(precision=plan.precision).dtype))
    y = to_host(tanh.forward(x) + x).astype(np.float32)
    x32 = to_host(x).astype(np.float32)
    return {"error": float(np.abs(y - np.tanh(x32) - x32).max()), "seconds": time.perf_counter() - start}


def empty_replay() -> Row:
    """Seconds of a graph of one small kernel: what every replay's time holds beside its kernels."""
    from kernels.device import get_device
    from kernels.gpu.replays import Replays
    from kernels.tanh import gpu as tanh

    device = get_device("cuda")
    x, replays = device.xp.zeros(64, np.float32), Replays(device)
    tanh.forward(x)
    replays.capture(lambda: tanh.forward(x))
    times = [replays.seconds() for _ in range(50)]
    return {"seconds": float(np.median(times)), "least": min(times)}


def built(plan: Plan, launches: list[Any]) -> tuple[list[Any], list[Any]]:
    """The different kernels of these launches, when dry the four dearest, and what came of each, compiled side by side."""
    from benchmarks.compile_report import different
    from benchmarks.cubin import compilers

    kernels = different(launches, quick=plan.device != "cuda")
    with compilers(plan.jobs) as begin:
        return kernels, list(begin([(kernel.shown, target_of(plan)) for kernel in kernels]))


def compile_kernels(plan: Plan, rows: Rows) -> None:
    """Every kernel of a step and of all other ops, compiled side by side: what spills is known, and launches find them on disk."""
    from benchmarks.compile_tables import tile
    from benchmarks.cubin import Cubin, read
    from benchmarks.gpus import GPUS
    from benchmarks.kernel_replays import form

    target, name = target_of(plan), gpu_of(plan)
    for precision in precisions() if plan.device == "cuda" else (plan.precision,):
        start = time.perf_counter()
        kernels, results = built(plan, asked_for(plan, precision))
        for kernel, code in zip(kernels, read(results), strict=True):
            kernel.compiled[target] = code
            launches = {form(one): kernel.predicted(GPUS[name], one) for one in kernel.launches} if name else {}
            about = (
                {}
                if isinstance(code, str)
                else {"registers": code.registers, "spills": code.spills, "shared": code.shared}
            )
            rows.add(
                what="kernel", precision=precision, kernel=kernel.shown.name, tile=tile(kernel.shown), problems=kernel.problems(),
                predicted={f: {"seconds": p.seconds, "binds": p.binds} for f, p in launches.items() if isinstance(code, Cubin)},
                **about,
            )  # fmt: skip
        rows.add(what="compiled", precision=precision, kernels=len(kernels), seconds=time.perf_counter() - start)


def asked_for(plan: Plan, precision: str) -> list[Any]:
    """The launches of a step, and of every case at its real size, without running them."""
    from benchmarks.op_providers import OpWork, OursOps

    saved = hooks.matmul
    with recorded(run=False) as launches:
        ops = OursOps(OpWork("interpret", precision, full=plan.device == "cuda"))
        for name in real_cases(plan):
            ops.run(ops.inputs((name, "both", 0)))
    hooks.matmul = saved
    return [*step_of(plan, precision), *launches]


def step_of(plan: Plan, precision: str, candidates: bool = False) -> list[Any]:
    """The launches of a step, with those that a tuner would measure if they are asked for."""
    from benchmarks.recording import record_step
    from train.config.settings import Config

    w = plan.work
    config = Config(crop_size=w.size, ngf=w.ngf, ndf=w.ngf, n_blocks=w.n_blocks)
    return record_step(precision, config, candidates=candidates).launches


def candidates(plan: Plan, rows: Rows) -> None:
    """Every kernel that `--tune` tries, compiled side by side, so that it finds them on disk. They are some 400, which one after
    the other would take a quarter of an hour; their instructions are not listed."""
    start = time.perf_counter()
    kernels, results = built(plan, step_of(plan, plan.precision, candidates=True))
    unfit = sum(isinstance(code, str) or code.about["stack"] > 0 for code in results)
    seconds = time.perf_counter() - start
    rows.add(what="candidates", precision=plan.precision, kernels=len(kernels), out=unfit, seconds=seconds)


def target_of(plan: Plan) -> int:
    """The capability of this GPU, as in sm_90."""
    if plan.device != "cuda":
        return 90
    from kernels.device import get_device

    return int(get_device("cuda").xp.cuda.Device().compute_capability)


def gpu_of(plan: Plan) -> str:
    """The GPU's name in benchmarks/gpus.py; "" for one that is not there."""
    from benchmarks.gpus import GPUS

    here = machine.gpu_name() if plan.device == "cuda" else "H100"
    return next((name for name in GPUS if name in here), "")


def kernels(plan: Plan, rows: Rows) -> None:
    """Each different launch of a step, replayed by itself over the arrays that a real step gave it."""
    from benchmarks.kernel_replays import kept_calls, measure

    ours = OursEager(plan.work)
    ours.load()
    ours.run(ours.inputs(0))
    with kept_calls() as calls:
        ours.run(ours.inputs(1))
    predicted: Row = {}
    for row in read_rows(Path(plan.out) / "compile.jsonl"):
        predicted |= row.get("predicted", {}) if row.get("precision") == plan.precision else {}
    for row in measure(calls, ours.model.device, 20 if plan.device == "cuda" else 1):
        form = row.pop("form")
        rows.add(what="kernel", precision=plan.precision, **row, predicted=predicted.get(form))
    rows.add(what="done", launches=sum(call.count for call in calls.values()))


def one_step(plan: Plan, rows: Rows) -> None:
    """Two steps kernel by kernel, for a profiler or a sanitiser to look at from outside."""
    ours = OursEager(plan.work)
    ours.load()
    for key in range(2):
        rows.add(what="step", losses=ours.run(ours.inputs(key)))


PHASES: dict[str, Callable[[Plan, Rows], None]] = {
    "ceilings": ceilings, "compile": compile_kernels, "correctness": correctness, "graph": graph, "kernels": kernels,
    "candidates": candidates, "one_step": one_step,
}  # fmt: skip


def main(words: Iterable[str]) -> int:
    """Run one phase; 1 if it found something wrong."""
    name, settings = words
    plan = Plan(**json.loads(settings))
    rows = Rows(Path(plan.out) / f"{name}.jsonl")
    with contextlib.ExitStack() as stack:
        if plan.device != "cuda":
            from benchmarks.idle_driver import followed

            stack.enter_context(followed())
            stack.enter_context(recorded())
        PHASES[name](plan, rows)
    return int(rows.wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
