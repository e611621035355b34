"""A first run on a GPU, without one: phases that crash, hang or find something wrong, what they leave behind, and the page of it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from benchmarks import first_checks, first_page, first_phases, first_plan, first_run, first_sections, gpu, machine, step
from benchmarks.__main__ import main
from benchmarks.compile_report import different
from benchmarks.first_plan import Plan, Rows, read_rows
from benchmarks.first_run import Phase, usable
from benchmarks.kernel_replays import kept_calls, measure
from benchmarks.worker import Desk
from kernels import dispatch
from kernels.device import Device
from kernels.gpu import replays
from kernels.gpu.launch import hooks
from kernels.instance_norm import gpu as norm
from kernels.instance_norm.settings import NormSettings
from kernels.tanh import gpu as tanh
from tests import cupy_stand_in
from tests.test_cupy_api import cuda  # noqa: F401  the fixture
from train.models.graphed_step import GraphedStep


def python(code: str) -> Any:
    return lambda plan: [[sys.executable, "-c", f"OUT = {plan.out!r}; PRECISION = {plan.precision!r}\n{code}"]]


LEAVES = (
    "import subprocess, sys; "
    "left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); open(OUT + '/left', 'w').write(str(left.pid)); "
)
ADDS = "open(OUT + '/seen', 'a').write(PRECISION + '\\n')"


def test_each_phase_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "GRACE", 0.5)
    monkeypatch.setattr(first_run, "DRY", 1)
    stubborn = (
        "import signal, time; signal.signal(signal.SIGINT, lambda *_: None); print('begun', flush=True); time.sleep(60)"
    )
    phases = [
        Phase("crashes", 20, "", python("print('last words', flush=True); import os; os._exit(3)")),
        Phase("is killed", 20, "", python(LEAVES + "import os; os.kill(os.getpid(), 9)")),
        Phase("writes", 20, "", python("open(OUT + '/writes.json', 'w').write('[{')")),  # and is killed meanwhile
        Phase("hangs", 1, "", python(stubborn)),
        Phase("lacks", 20, "", lambda plan: []),
        Phase("works", 20, "", python(ADDS)),
    ]
    plan = Plan(str(tmp_path), "interpret")
    assert not first_run.first_run(plan, phases, 60)
    found = json.loads((tmp_path / "first_run.json").read_text())
    status = {row["phase"]: row["status"] for row in found["phases"]}
    assert status == {
        "crashes": "failed (exit code 3)",
        "is killed": "failed (signal 9)",
        "writes": "done",
        "hangs": "out of time",
        "lacks": "nothing to run it with",
        "works": "done",
    }
    assert found["phases"][3]["seconds"] < 10
    left = int((tmp_path / "left").read_text())  # ended, and waited for by nobody or by whoever adopts orphans
    assert not (proc := Path(f"/proc/{left}/stat")).exists() or proc.read_text().rpartition(")")[2].split()[0] == "Z"
    assert (tmp_path / "crashes.log").read_text() == "last words\n" and (tmp_path / "seen").read_text() == "bf16\n"
    assert "| hangs " in (tmp_path / "first_run.md").read_text()
    assert first_run.first_run(plan, phases[5:], 0.0) is False  # no time: said, and the others' rows are kept
    again = json.loads((tmp_path / "first_run.json").read_text())["phases"]
    assert [row["status"] for row in again][-1] == "no time is left" and len(again) == 6


def test_whoever_stops_it_stops_what_it_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(process: Any, seconds: float) -> bool:
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(first_run, "waited", interrupted)
    writes = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write('x'); time.sleep(60)"
    started = []
    popen = first_run.subprocess.Popen
    monkeypatch.setattr(first_run.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1])
    with pytest.raises(KeyboardInterrupt):
        first_run.executed([[sys.executable, "-c", writes]], tmp_path / "log", 60)
    assert started[0].wait(10) == -9


def test_a_wrong_precision_gives_way_to_the_next_and_without_any_nothing_is_timed(tmp_path: Path) -> None:
    rows, plan = Rows(tmp_path / "correctness.jsonl"), Plan(str(tmp_path), "interpret")
    phases = [Phase("times", 20, "", python(ADDS), timed=True), Phase("trains", 20, "", python(ADDS))]
    assert usable([], tried=False) == "bf16" and usable([]) == ""
    for precision in first_run.PRECISIONS:
        rows.add(what="op", case="tanh-real", precision=precision, problem="")
    for wrong, precision in (("", "bf16"), ("bf16", "tf32"), ("tf32", "fp32")):
        rows.add(what="op", case="tanh-real", precision=wrong or "bf16", problem=wrong and "wrong result")
        assert first_run.first_run(plan, phases, 60)
        assert (tmp_path / "seen").read_text().split()[-2:] == [precision] * 2
    rows.add(what="op", case="tanh-real", precision="fp32", problem="NaN")
    assert usable(read_rows(rows.path)) == ""
    hung = [{"what": "begun", "case": "tanh-real", "precision": "bf16"}]
    ended = [{**hung[0], "what": "op", "precision": p} for p in first_run.PRECISIONS]
    assert usable([*hung, *ended[1:]]) == "tf32" and usable([*hung, *ended]) == "bf16"
    assert "- bf16, tanh-real: never came back" in first_sections.correctness(hung)
    assert not first_run.first_run(plan, phases, 60)
    assert (tmp_path / "seen").read_text().split()[-1] == "fp32" and len((tmp_path / "seen").read_text().split()) == 7
    assert "no precision was found right: nothing is timed" in (tmp_path / "first_run.md").read_text()


def test_a_killed_phase_leaves_every_row_but_the_one_it_was_writing(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "x.jsonl")
    for number in range(3):
        rows.add(what="op", number=number)
    rows.path.write_text(rows.path.read_text() + '{"what": "op", "numb')
    assert [row["number"] for row in read_rows(rows.path)] == [0, 1, 2]
    assert read_rows(tmp_path / "none.jsonl") == []


def test_the_command_refuses_to_write_over_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "first_run.json").write_text("{}")
    assert main(["first_run", "--out", str(tmp_path)]) == 2
    assert "holds another run's results; name another folder" in capsys.readouterr().err
    assert main(["first_run", "--out", str(tmp_path / "new"), "--phases", "benchmark"]) == 2
    assert "--phases benchmark: wanted some of ceilings, compile" in capsys.readouterr().err


def test_what_is_run_on_a_gpu_is_a_command_that_exists(tmp_path: Path) -> None:
    """Every phase's words are those that its program takes."""
    from benchmarks.__main__ import parse
    from train.config.options import parse as parse_options

    for device in ("cuda", "interpret"):
        plan = Plan(str(tmp_path), device)
        for phase in first_run.PHASES:
            for command in phase.commands(plan):
                after = command[command.index("-m") + 1 :]
                if after[0].endswith("first_phases"):
                    assert after[1] in first_phases.PHASES and Plan(**json.loads(after[2])).device == device
                elif after[0].endswith("benchmarks"):
                    assert parse(after[1:]).device == device
                elif after[0] == "train.cyclegan":
                    assert parse_options(after[1:], after[0], "").settings["max_steps"] >= 1
                else:
                    assert after[0] == "pytest" and any(word.startswith("tests/") for word in after)


# -- phases


def test_ceilings_say_what_is_lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_phases, "REQUIRED", ("numpy", "no_such_library"))
    rows = Rows(tmp_path / "ceilings.jsonl")
    first_phases.ceilings(Plan(str(tmp_path), "interpret"), rows)
    found = {row["what"]: row for row in read_rows(rows.path)}
    assert found["lacking"]["names"] == ["no_such_library"] and found["small"]["error"] < 0.01
    assert "not installed: no_such_library" in first_sections.ceilings([*found.values()])


@pytest.mark.parametrize("broken", ["", "wrong", "unwritten", "dies"])
def test_ops_are_judged_forward_and_backward_and_their_outputs_are_full_of_nan(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(first_checks, "real_cases", lambda plan: ["tanh-minimal", "tanh-ragged"])
    right = tanh.backward

    def backward(dy: Any, y: Any) -> Any:
        if broken == "dies":
            raise RuntimeError("illegal address")
        dx = right(dy, y)
        if broken == "unwritten":
            dx[..., -1:] = hooks.allocate(np, dx[..., -1:].shape, dx.dtype)
        return dx * dx.dtype.type(0.9) if broken == "wrong" else dx

    monkeypatch.setattr(tanh, "backward", backward)
    rows = Rows(tmp_path / "correctness.jsonl")
    first_checks.correctness(Plan(str(tmp_path), "interpret", "tf32"), rows)
    *ops, end = (row for row in read_rows(rows.path) if row["what"] != "begun")
    assert rows.wrong == bool(broken)
    said = {
        "": "",
        "wrong": "wrong result: ",
        "unwritten": "wrong result: nan",
        "dies": "RuntimeError: illegal address",
    }[broken]
    assert end["what"] == "done" and len(ops) == 2
    assert all(row["problem"].startswith(said) and bool(row["problem"]) == bool(broken) for row in ops)
    shown = first_sections.correctness([*ops, end])
    assert f"| tf32      |   2 | {len(ops) if broken else 0:5d} |" in shown and (said in shown or not broken)


def test_gradients_are_judged_on_our_side_of_a_kink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 some numbers lie on the other side of a ReLU's kink than in float64, and their gradients differ entirely."""
    pytest.importorskip("torch")
    monkeypatch.setattr(first_checks, "real_cases", lambda plan: ["conv_transpose_norm_relu-real"])
    relative = []
    for sides in (True, False):
        monkeypatch.setattr(first_checks, "has_sides", lambda name, sides=sides: sides)
        rows = Rows(tmp_path / f"{sides}.jsonl")
        first_checks.correctness(Plan(str(tmp_path), "interpret", "bf16"), rows)
        (op,) = (row for row in read_rows(rows.path) if row["what"] == "op")
        assert op["problem"] == "" and op["same_bits"]
        relative.append(max(op["relative"].values()))
    assert relative[0] < 5e-3 and relative[1] > 3e-2


def test_launches_of_a_step_are_measured_with_their_own_arrays(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)
    with kept_calls() as calls:
        for _ in range(3):
            norm.forward(x, norm=NormSettings())
        norm.forward(x[:1], norm=NormSettings())
    assert [call.count for call in calls.values()] == [3, 3, 1, 1]
    (normalise,) = [c for c in calls.values() if c.launch.name.endswith("_normalise") and c.count == 3]
    before = hooks.perform
    rows = list(measure(calls, Device("interpret"), 2))
    assert len(rows) == 4 and all(row["seconds"] > 0 and row["bytes"] for row in rows) and hooks.perform is before
    assert normalise.launch.grid in [row["grid"] for row in rows]
    fails = next(iter(calls.values()))
    fails.again = lambda: 1 / 0  # type: ignore[assignment, return-value]
    assert [row["error"] for row in measure(calls, Device("interpret"), 1) if "error" in row] == [
        "ZeroDivisionError: division by zero"
    ]


# -- the page


def test_the_page_says_what_was_right_how_fast_and_how_far_from_predicted() -> None:
    about = {
        "gpu": "NVIDIA H100, 570",
        "cpu": "x",
        "python": "3.12",
        "versions": {"triton": "3.6.0"},
        "commit": "abc",
        "date": "2030",
    }
    spread = {"median": 0.010, "p80": 0.011}
    step = {"what": "step", "replayed": True, "unequal": []}
    kernel = {
        "kernel": "conv2d._fprop",
        "grid": [64, 2, 4],
        "shape": [4, 64, 64, 256],
        "launches": 36,
        "bytes": 33e6,
        "flops": 19.3e9,
        "seconds": 40e-6,
    }
    predicted = {"seconds": 50e-6, "binds": "l2"}
    found = {
        "machine": about, "device": "cuda", "candidates": [], "scores": {"step": 9, "A → B": {"model": {"l1": 0.1, "psnr": 15.25}, "untouched": {"l1": 0.2, "psnr": 11}}},
        "phases": [{"phase": "graph", "about": "equal bits", "status": "done", "seconds": 12.0, "precision": "bf16"}],
        "tiles": {"H100, Triton 3.6.0": {"_fprop a": {"BM": 64}, "_block b": {"launches": 1}, "_block c": {"launches": 2}}},
        "ceilings": [{"what": "peaks", "precision": "bf16", "gemm_gflops": 798e3, "copy_gbs": 2900}],
        "compile": [{"what": "kernel", "precision": "bf16", "problems": ["conv2d._dgrad on sm_90: spills"]},
                    {"what": "compiled", "precision": "bf16", "kernels": 1, "seconds": 9.0}],
        "correctness": [], "graph": [{**step, "number": 1, "replayed": False}, {**step, "number": 2}, {"what": "done", "compiled_late": []}],
        "steps": [{"phase": "tune", "provider": "ours", "work": "paper", "seconds": spread, "device_mb": 900.0},
                  {"phase": "tune", "provider": "torch", "work": "paper", "error": "no torch"}],
        "kernels": [{**kernel, "predicted": predicted}, {**kernel, "predicted": None, "seconds": 1e-6}, {**kernel, "error": "no"}],
    }  # fmt: skip
    del found["kernels"][2]["seconds"]  # type: ignore[index]
    text = re.sub(" +", " ", first_page.page(found))
    for words in (
        "NVIDIA H100, 570; Python 3.12, triton 3.6.0; commit abc", "| graph | equal bits | done | 12 |", "product 798.0 TFLOP/s, copy 2.90 TB/s",
        "Unfit: 1.", "conv2d._dgrad on sm_90: spills", "2 steps, 1 of them replayed from a graph: equal bits throughout",
        "| 10.00 | 11.00 |", "no torch", "482.5 |", "0.80 |", "Of 1.44 ms a prediction is known: 1.80 ms", "64x2x4 of 4x64x64x256: no",
        "- kernels take 0.80 of the time that was predicted", "- replayed steps: equal bits", "went wrong: none",
        "tune: torch was not timed: no torch", "tiles of 1 products", "of 2 fused blocks 1 are faster in one launch", "| A → B | model | 0.1 | 15.2 |",
    ):  # fmt: skip
        assert words in text, words
    found["graph"][1]["unequal"] = ["D_A"]  # type: ignore[index]
    assert "OTHER BITS" in first_page.page(found) and "- step 2: D_A" in first_page.page(found)


def test_the_truth_stays_on_the_device_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's "meta" device knows shapes and refuses tensors of other devices, as a GPU does."""
    pytest.importorskip("torch")
    from benchmarks import torch_ops
    from benchmarks.op_providers import OpWork

    monkeypatch.setattr(torch_ops, "torch_device", lambda work: "meta")
    plan = Plan("", "cuda")
    truth = first_checks.truth_here(torch_ops.TruthOps, torch_ops.TorchOps, OpWork("cuda", full=False))
    for name in first_plan.real_cases(plan):
        y, grads = truth.run(truth.inputs((name, "both", 0)))
        assert {t.device.type for t in (y, *grads.values())} == {"meta"} and {
            t.dtype for t in (y, *grads.values())
        } == {truth.dtype}, name


# -- on cuda, with a stand-in for CuPy that refuses what CuPy refuses


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two events of the stand-in 5 ms pass."""
    idle = cupy_stand_in._idle
    timed = lambda real: (
        (lambda start, stop: 5.0) if getattr(real, "__name__", "") == "get_elapsed_time" else idle(real)
    )
    monkeypatch.setattr(cupy_stand_in, "_idle", timed)


@pytest.mark.usefixtures("cuda", "seconds")
def test_phases_speak_to_cupy_as_it_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("benchmarks.torch_ops.torch_device", lambda work: "cpu")
    monkeypatch.setattr(first_checks, "real_cases", lambda plan: ["tanh-minimal", "conditional_instance_norm-ragged"])
    monkeypatch.setattr(replays, "FLUSH", 1 << 10)
    captured = lambda device: mock.MagicMock(capture=lambda run: run())  # a graph: the stand-in has none
    monkeypatch.setattr(replays, "Graph", captured)
    monkeypatch.setattr(gpu, "normal", lambda shape: np.ones((8, 8) if len(shape) == 2 else 8, np.float32))
    plan, rows = Plan(str(tmp_path), "cuda", "tf32"), Rows(tmp_path / "rows.jsonl")
    first_checks.correctness(plan, rows)
    assert [row["problem"] for row in read_rows(rows.path) if row["what"] == "op"] == ["", ""]
    assert first_phases.small(plan)["error"] < 0.01
    assert first_phases.empty_replay()["seconds"] == 0.005
    assert gpu.control(0.01, "bf16")["gemm_gflops"] == 2 * 8192**3 / 0.005 / 1e9
    device = Device("cuda")
    with kept_calls() as calls:
        tanh.forward(device.xp.zeros((2, 3), np.float32))
    assert [row["seconds"] for row in measure(calls, device, 3)] == [0.005]


# -- from start to end


class Here:
    """A contestant as its worker would answer, but in this process."""

    build_seconds, closed = 0.1, False

    def __init__(self, spec: str, work: Any, variables: Any = None) -> None:
        module, name = spec.split(":")
        self.desk, self.connection = Desk(getattr(importlib.import_module(module), name)(work)), self

    def __call__(self, method: str, *arguments: Any) -> Any:
        return getattr(self.desk, method)(*arguments)

    def close(self) -> None: ...


class OneLaunch:
    """A step of tanh alone."""

    def __init__(self, work: Any) -> None:
        self.model = SimpleNamespace(device=Device("interpret"))

    def load(self) -> None: ...

    def inputs(self, key: int) -> Any:
        return np.full((2, 3), key, np.float32)

    def run(self, inputs: Any) -> Any:
        return tanh.forward(inputs)


def in_this_process(commands: list[list[str]], log: Path, limit: float) -> dict[str, Any]:
    """What `executed` does in others."""
    module, *words = commands[0][commands[0].index("-m") + 1 :]
    run = {"benchmarks.first_phases": first_phases.main, "benchmarks": main, "train.cyclegan": trained}[module]
    with log.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        code = run(words)
    return {"status": "something is wrong" if code else "done", "seconds": 1.0}


def test_a_dry_run_comes_to_its_end_and_its_page_says_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each phase with its own words and rows, on a machine that has no bfloat16 and no pytest. The networks compute by their
    plain formulas, and nothing is captured: see test_graph.py."""
    torch, find = pytest.importorskip("torch"), importlib.util.find_spec
    absent = ("ml_dtypes", "pytest")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *of: None if name in absent else find(name, *of))
    monkeypatch.setattr(dispatch, "PREFERENCE", dict.fromkeys(dispatch.PREFERENCE, ("reference",)))
    monkeypatch.setattr(GraphedStep, "ready", lambda *pictures: False)
    monkeypatch.setattr(torch, "compile", lambda network, **how: network)
    monkeypatch.setattr("benchmarks.harness.Worker", Here)
    monkeypatch.setattr("benchmarks.compile_report.different", lambda *given, **how: different(*given, **how)[-1:])
    monkeypatch.setattr(machine, "cores", lambda: 1)
    monkeypatch.setattr(machine, "control", lambda *how: {"gemm_gflops": 1.0, "copy_gbs": 1.0})
    monkeypatch.setattr("benchmarks.worker.gc.collect", lambda: 0)
    monkeypatch.setitem(step.SIZES, "quick", first_plan.DRY)
    monkeypatch.setattr(first_checks, "real_cases", lambda plan: ["tanh-minimal"])
    monkeypatch.setattr(first_phases, "real_cases", lambda plan: ["tanh-minimal"])
    monkeypatch.setattr(first_phases, "OursEager", OneLaunch)
    monkeypatch.setattr(first_run, "executed", in_this_process)
    monkeypatch.setattr(first_run.shutil, "which", lambda name: None)  # neither ncu nor compute-sanitizer
    phases = [p.name for p in first_run.PHASES if p.name not in ("step-torch", "step-compiled")]  # as the other steps
    dispatch.implementation.cache_clear()
    try:
        asked = ["first_run", "--out", str(tmp_path), "--device", "interpret", "--phases", ",".join(phases)]
        assert main(asked) == 0
    finally:
        dispatch.implementation.cache_clear()
    said = capsys.readouterr().out
    assert "bfloat16, so nothing is tried in bf16; tf32 takes its place" in said
    assert "tests is left out: pytest not installed" in said
    found = json.loads((tmp_path / "first_run.json").read_text())
    status = {row["phase"]: row["status"] for row in found["phases"] if row["status"] != "done"}
    assert status == {
        "tests": "lacks pytest",
        "profile": "nothing to run it with",
        "sanitise": "nothing to run it with",
    }
    assert {row["precision"] for row in found["phases"]} == {"tf32"}
    assert all(found[phase] for phase in first_page.ROWS) and found["scores"]["A → B"]
    assert [row["provider"] for row in found["steps"]] == ["ours", "eager", "torch-graph", "ours", "torch-compile-graph", "ours"]  # fmt: skip
    assert all(row["seconds"]["median"] > 0 for row in found["steps"])
    text = re.sub(" +", " ", (tmp_path / "first_run.md").read_text())
    for words in (
        "**A dry run: ", "- tf32: all 1 ops that were tried are right", "- replayed steps: equal bits", "not on the path: nvidia-smi, ncu",
        "- not installed: ml_dtypes, pytest", "so nothing is tried in bf16", "1 kernels of tf32", "| step-compile: torch-compile-graph |",
        "| tune: ours |", "of which 0 spill or do not fit", "| tanh._forward 1x1x1 of 2x3 |", "| A → B | model |",
        "not done, or went wrong: tests (lacks pytest), profile (nothing to run it with)",
    ):  # fmt: skip
        assert words in text, words


def trained(words: list[str]) -> int:
    from train.cyclegan import main

    return main(words)
