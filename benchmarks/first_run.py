"""What to type on a machine with a GPU, first of all: is it right, how fast is it, and how far from what was predicted.

    python -m benchmarks first_run --out first-run --minutes 8

The phases come in order of worth, each in a process of its own with a time limit of its own: what crashes or hangs costs only
itself. Rows are on disk as soon as they are known, and the page is written anew after each phase. Where a precision is wrong, the
phases after that use the next (bf16, tf32, fp32); where all are, nothing is timed.

It needs this repository and what a phase imports, no network, and nothing installed: where a library is not there, the phases that
need it are left out, and that is said at once. `--device interpret` goes through the same motions without a GPU, small.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import first_page, first_sections, machine, options
from benchmarks.first_plan import PRECISIONS, Plan, precisions, read_rows, unended
from train.errors import UserError

GRACE = 10.0  # s that a process has to end by itself when its time is up
DRY = 8  # times as long as on a GPU may each phase take in the interpreter
Command = list[str]


@dataclass(frozen=True)
class Phase:
    """A few commands side by side, and how long they may take together."""

    name: str
    limit: float  # s
    about: str
    commands: Callable[[Plan], list[Command]]
    timed: bool = False  # so nothing of it is run for a precision that is wrong
    needs: tuple[str, ...] = ("triton",)  # modules

    @property
    def lacks(self) -> str:
        """The modules that are not installed."""
        return ", ".join(name for name in self.needs if importlib.util.find_spec(name) is None)


def inside(name: str) -> Callable[[Plan], list[Command]]:
    """A phase of benchmarks/first_phases.py."""
    return lambda plan: [_phase(name, plan)]


def _phase(name: str, plan: Plan) -> Command:
    return [sys.executable, "-u", "-m", f"{__package__}.first_phases", name, json.dumps(dataclasses.asdict(plan))]


def each_precision(plan: Plan) -> list[Command]:
    """The three side by side: they wait for the host most of the time."""
    some = precisions() if plan.device == "cuda" else precisions()[:1]
    return [_phase("correctness", dataclasses.replace(plan, precision=p)) for p in some]


def step_against(peers: str, name: str, pairs: int = 9) -> Callable[[Plan], list[Command]]:
    """`python -m benchmarks step`, ours and these peers in turns, for the phase of that name."""

    def commands(plan: Plan) -> list[Command]:
        how = ["--device", plan.device, "--precision", plan.precision, "--against", peers]
        how += ["--json", str(Path(plan.out) / f"{name}.json")]
        how += ["--sizes", plan.size, "--pairs", str(pairs), "--starts", "1"] if plan.device == "cuda" else ["--quick"]
        tiles = ["--tune", str(Path(plan.out) / "tiles.json")] if not peers and plan.device == "cuda" else []
        return [[sys.executable, "-u", "-m", __package__ or "", "step", *how, *tiles]]

    return commands


def device_tests(plan: Plan) -> list[Command]:
    """The tests that a device passes."""
    tests = [f"tests/test_{name}.py" for name in ("device_steps", "graph", "optim", "ops")]
    some = [] if plan.device == "cuda" else ["-k", "paper or (tanh and minimal)"]
    return [[sys.executable, "-m", "pytest", "-q", "--device", plan.device, "-p", "no:cacheprovider", *some, *tests]]


def training(plan: Plan) -> list[Command]:
    """A run with scores and a report, in the folder of results."""
    size = "--preset small --max_steps 4000"
    if plan.device != "cuda":
        size = "--preset tiny --max_steps 1 --crop_size 32 --load_size 32 --ngf 2 --ndf 2 --n_blocks 0"
    where = ["--device", plan.device, "--precision", plan.precision, "--checkpoints_dir", plan.out]
    return [[sys.executable, "-u", "-m", "train.cyclegan", *where, "--name", "training", *size.split()]]


def profiled(plan: Plan) -> list[Command]:
    """NVIDIA's profiler on a few kernels of an eager step, where there is one."""
    asked = (
        "--clock-control none --csv --section SpeedOfLight --section MemoryWorkloadAnalysis --section WarpStateStats"
    )
    which = "--kernel-name regex:_(block|fprop|dgrad|wgrad|dx|normalise)$ --launch-skip 100 --launch-count 12"
    command = ["ncu", *asked.split(), *which.split(), *_phase("one_step", plan)]
    return [command] if shutil.which("ncu") else []


def sanitised(plan: Plan) -> list[Command]:
    """NVIDIA's sanitiser on the smallest step, where there is one."""
    command = _phase("one_step", dataclasses.replace(plan, size="quick"))
    return [["compute-sanitizer", "--tool", "memcheck", *command]] if shutil.which("compute-sanitizer") else []


TORCH = ("triton", "torch")
PHASES = (
    Phase("ceilings", 40, "what is here, and what it does at best", inside("ceilings")),
    Phase("compile", 100, "every kernel compiled side by side, into the cache of what follows", inside("compile")),
    Phase("correctness", 110, "every op against float64, forward and gradients", each_precision, needs=TORCH),
    Phase("graph", 60, "kernel by kernel against replays: equal bits", inside("graph")),
    Phase("step-graph", 90, "the step beside torch's as a CUDA graph", step_against("eager,torch-graph", "step-graph"), True, TORCH),
    Phase("kernels", 60, "each kernel's replays beside the prediction", inside("kernels"), True),
    Phase("step-torch", 60, "the step beside torch, eager", step_against("torch", "step-torch", 5), True, TORCH),
    Phase("training", 90, "a run, its scores and its report", training, needs=("triton", "tqdm", "matplotlib")),
    Phase("step-compile", 120, "the step beside torch's compiled, as a CUDA graph", step_against("torch-compile-graph", "step-compile", 5), True, TORCH),
    Phase("tests", 90, "the repository's own tests on this device", device_tests, needs=(*TORCH, "pytest")),
    Phase("step-compiled", 120, "the step beside torch's compiled, launched by Python", step_against("torch-compile", "step-compiled", 5), True, TORCH),
    Phase("candidates", 90, "all tiles that could be taken, compiled side by side", inside("candidates"), True),
    Phase("tune", 90, "tiles by measurement, and the step with them", step_against("", "tune", 5), True, TORCH),
    Phase("profile", 60, "NVIDIA's profiler", profiled),
    Phase("sanitise", 60, "NVIDIA's sanitiser", sanitised),
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m benchmarks first_run`."""
    parser.add_argument(
        "--out", default="first-run", metavar="DIR", help="where everything is written (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="for all phases together (default: %(default)s)")
    parser.add_argument(
        "--phases", default="", help=f"only these of {', '.join(p.name for p in PHASES)} (default: all)"
    )
    parser.add_argument(
        "--device", choices=("cuda", "interpret"), default="cuda", help="interpret: a dry run, without a GPU"
    )
    parser.add_argument(
        "--size", default="paper", help="of pictures and networks, as in `step --sizes` (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """All phases, then the page; 1 if a phase failed or found something wrong."""
    out = Path(args.out)
    if (out / "first_run.json").exists() and not args.phases:
        raise UserError(f"--out {out}: holds another run's results; name another folder, or some --phases to add")
    out.mkdir(parents=True, exist_ok=True)
    chosen = options.chosen(args.phases, {p.name: p for p in PHASES}, "--phases")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = Plan(str(out.resolve()), args.device, precisions()[0], args.size, machine.cores())
    phases = [p for p in PHASES if not chosen or p.name in chosen]
    if plan.precision != PRECISIONS[0]:
        print(f"{first_sections.NO_BF16}; {plan.precision} takes its place", flush=True)
    for phase in phases:
        if phase.lacks:
            print(f"{phase.name} is left out: {phase.lacks} not installed", flush=True)
    return 0 if first_run(plan, phases, args.minutes * 60) else 1


def first_run(plan: Plan, phases: list[Phase], seconds: float) -> bool:
    """Whether every phase went well. Each has its limit or what is left of `seconds`, whichever is less."""
    out, end = Path(plan.out), time.monotonic() + seconds
    done = {row["phase"]: row for row in read_rows(out / "phases.jsonl")}
    for phase in phases:
        precision = usable(read_rows(out / "correctness.jsonl"), tried="correctness" in done)
        commands = phase.commands(dataclasses.replace(plan, precision=precision or PRECISIONS[-1]))
        left = end - time.monotonic()
        limit = min(phase.limit * (1 if plan.device == "cuda" else DRY), left)
        why_not = (
            f"lacks {phase.lacks}" if phase.lacks
            else "nothing to run it with" if not commands
            else "no precision was found right: nothing is timed" if phase.timed and not precision
            else "no time is left" if left < 5 else ""
        )  # fmt: skip
        row: dict[str, Any] = {"phase": phase.name, "about": phase.about, "precision": precision, "status": why_not}
        if not why_not:
            print(f"{phase.name}: {phase.about} (at most {limit:.0f} s) ...", flush=True)
            row |= executed(commands, out / f"{phase.name}.log", limit)
        print(f"{phase.name}: {row['status']}, {row.get('seconds', 0):.0f} s", flush=True)
        with (out / "phases.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        done[phase.name] = row
        write(plan, list(done.values()))
    print(f"\n{out / 'first_run.md'}")
    return all(row["status"].startswith(("done", "nothing to", "lacks")) for row in done.values())


def usable(rows: list[dict[str, Any]], tried: bool = True) -> str:
    """The first precision in which ops were tried, and none was wrong or never came back; "" if there is none. The first that
    arrays can hold before anything was `tried`."""
    right = {row["precision"] for row in rows if row["what"] == "op"} if tried else set(precisions())
    wrong = {row["precision"] for row in (*(row for row in rows if row.get("problem")), *unended(rows))}
    return next((p for p in PRECISIONS if p in right - wrong), "")


def executed(commands: list[Command], log: Path, limit: float) -> dict[str, Any]:
    """Run commands side by side; what is still there after `limit` seconds is interrupted, then killed."""
    start = time.monotonic()
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as file:
        running = [
            subprocess.Popen(
                c, stdout=file, stderr=subprocess.STDOUT, cwd=machine.ROOT, env=env, start_new_session=True
            )
            for c in commands
        ]
        try:
            late = [waited(process, start + limit - time.monotonic()) for process in running]
        finally:  # whoever stops this program stops what it has started; what a dead phase has started holds the GPU
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    codes = [process.returncode for process in running]
    ended = (
        "done" if not any(codes)
        else "something is wrong" if set(codes) <= {0, 1}
        else f"failed ({', '.join(f'signal {-code}' if code < 0 else f'exit code {code}' for code in codes)})"
    )  # fmt: skip
    status = "out of time" if any(late) else ended
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:] if status != "done" else []
    return {"status": status, "seconds": time.monotonic() - start, "command": " ".join(commands[0]), "last": last}


def waited(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether its time was up: then it is interrupted, as by Ctrl-C, and killed if it goes on."""
    for way, patience in ((0, max(0.1, seconds)), (signal.SIGINT, GRACE), (signal.SIGKILL, GRACE)):
        try:
            if way:
                os.killpg(process.pid, way)
            process.wait(patience)
            return bool(way)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            break
    return True


def write(plan: Plan, phases: list[dict[str, Any]]) -> None:
    """The page and the JSON, among the results and, from a GPU, among the repository's."""
    found = first_page.collect(Path(plan.out), phases, plan.device)
    texts = {"first_run.md": first_page.page(found), "first_run.json": json.dumps(found, indent=1, default=str)}
    folders = [Path(plan.out), *([machine.results_folder("cuda")] if plan.device == "cuda" else [])]
    for folder in folders:
        for name, text in texts.items():
            options.save(folder / name, text, say=False)
