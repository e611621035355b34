"""The benchmarks as smoke tests: every command runs, and none shows a speed for a wrong result. No time is asserted."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import costs, executed, harness, machine, options, plot, scaling, step, table
from benchmarks.__main__ import main
from benchmarks.burner import burning
from benchmarks.harness import contest
from benchmarks.op_providers import OursOps
from benchmarks.profile import watching
from benchmarks.providers import RUNTIMES, Ours, OursTranslates, Work
from benchmarks.worker import Result, Worker, WorkerError

HERE = "tests.test_benchmarks"  # workers import this file, so torch is imported only where it is needed
QUICK = step.SIZES["quick"]


# Contestants for the harness, in plain Python.


class Right:
    """Says what it was asked, quickly."""

    answer = 1.0

    def __init__(self, work: Any) -> None:
        self.weights = 0.0

    def load(self) -> None:
        self.weights = self.answer

    def inputs(self, key: Any) -> Any:
        return key

    def run(self, inputs: Any) -> Any:
        return self.weights + inputs

    def result(self, output: Any) -> Result:
        return {"y": output}


class Wrong(Right):
    answer = 1.01


class NotANumber(Right):
    answer = float("nan")


class Absent(Right):
    def __init__(self, work: Any) -> None:
        raise RuntimeError("some-library is not installed: pip install some-library\nand a second line")


class Dies(Right):
    def run(self, inputs: Any) -> Any:
        os._exit(3)


# And broken versions of our own.


class NeverUpdates(Ours):
    def load(self) -> None:
        super().load()
        self.model.set_lr(0.0)


class ForgetsTheSkip(Ours):
    """Its residual blocks pass no gradient round their convolutions: right losses, wrong updates."""

    def load(self) -> None:
        from autograd.ops.conv_norm_relu import ConvNormRelu

        super().load()
        right = ConvNormRelu.backward
        ConvNormRelu.backward = lambda node, dy: (*right(node, dy)[:2], 0 * dy)  # type: ignore[method-assign]


class Darker(OursTranslates):
    def result(self, output: Any) -> Result:
        return {"y": super().result(output)["y"] - 0.001}


class Fades(OursTranslates):
    """Right at the gate, and dark from its third picture on."""

    pictures = 0

    def result(self, output: Any) -> Result:
        self.pictures += 1
        return {"y": super().result(output)["y"] * (1.0 if self.pictures < 3 else 0.9)}


class HalfTheGradient(OursOps):
    def result(self, output: Any) -> Result:
        return {name: array / 2 if name == "dx" else array for name, array in super().result(output).items()}


HALF_THE_GRADIENT = """from kernels.tanh import reference
from kernels.tanh.reference import forward

def backward(dy, y):
    return reference.backward(dy, y) * dy.dtype.type(0.5)
"""


def differ(result: Result, truth: Result) -> float:
    return abs(result["y"] - truth["y"]) / 1e-3


def rows_of(**contestants: str) -> dict[str, dict[str, Any]]:
    specs = {name: f"{HERE}:{kind}" for name, kind in contestants.items()}
    rows = contest(specs, None, truth=f"{HERE}:Right", differ=differ, keys=2, pairs=3, starts=2, at_least=0.0)
    return {row["provider"]: row for row in rows}


def test_a_contest_times_what_is_right_and_says_why_the_rest_is_not() -> None:
    rows = rows_of(ours="Right", same="Right", wrong="Wrong", nan="NotANumber", absent="Absent", dies="Dies")
    for name in ("ours", "same"):
        assert len(rows[name]["samples"]) == 3 and rows[name]["seconds"]["median"] > 0 and rows[name]["peak_mb"] > 1
    assert len(rows["ours"]["starts"]) == 2
    assert rows["same"]["ratio"]["low"] <= rows["same"]["ratio"]["median"] <= rows["same"]["ratio"]["high"]
    assert rows["absent"]["error"] == "RuntimeError: some-library is not installed: pip install some-library"
    assert rows["dies"]["error"] == "the process ended with status 3"
    assert "wrong result" in rows["wrong"]["error"] and "wrong result" in rows["nan"]["error"]
    for name in ("wrong", "nan", "absent", "dies"):
        assert not {"seconds", "samples", "starts", "ratio"} & rows[name].keys()
        assert bool(rows[name].get("wrong")) == (name in ("wrong", "nan"))  # absence is no mistake


class Drifts(Right):
    """Right at the gate, and not any more when it is timed."""

    def run(self, inputs: Any) -> Any:
        return super().run(inputs) if inputs < 2 else float("nan")


@pytest.mark.parametrize(
    "after", [None, lambda before, now: "" if now["y"] >= before["y"] else "is no number any more"]
)
def test_what_was_timed_is_judged_too(after: Any) -> None:
    """By the truth, as at the gate, or in a way of its own."""
    specs = {"ours": f"{HERE}:Right", "drifts": f"{HERE}:Drifts"}
    truth = f"{HERE}:Right"
    ours, drifts = contest(
        specs, None, truth=truth, differ=differ, keys=2, pairs=1, starts=1, at_least=0.0, after=after
    )
    said = "is no number any more" if after else "wrong after the timing: nan times the allowed difference"
    assert ours["seconds"]["median"] > 0 and drifts["wrong"] and drifts["error"] == said
    assert not {"seconds", "samples", "starts", "ratio"} & drifts.keys()


def test_a_burner_spins_in_every_second_round_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    @contextlib.contextmanager
    def noted(count: int) -> Iterator[None]:
        with burning(count) as programs:
            yield
            seen.append([program.poll() for program in programs])
        seen.append([program.poll() is None for program in programs])

    monkeypatch.setattr(harness, "burning", noted)
    settings: dict[str, Any] = dict(truth=f"{HERE}:Right", differ=differ, keys=1, pairs=2, starts=1, at_least=0.0)
    rows = contest(dict.fromkeys(("ours", "same"), f"{HERE}:Right"), None, burner=2, **settings)
    assert seen == [[], [], [None, None], [False, False]] * 2
    for row in rows:
        assert len(row["samples"]) == len(row["busy_samples"]) == 2
        low, high = sorted(busy / alone for busy, alone in zip(row["busy_samples"], row["samples"], strict=True))
        assert row["slowdown"]["low"] == low and row["slowdown"]["high"] == high
    told = table.contests([{"work": "x", "flops": 1, "burner": 2, **row} for row in rows])
    assert "with 2 of the cores occupied same takes" in told and told.count("of the cores occupied") == 2


def test_steps_that_are_timed_must_be_training() -> None:
    before = {"D_A": 0.5, "update of gen_ab": np.array([3.0, 4.0])}
    moved = {"D_A": 0.4, "update of gen_ab": np.array([3.1, 4.0])}
    assert step.stopped_learning(before, moved) == ""
    still = {**moved, "update of gen_ab": np.array([3.0, 4.01])}
    assert step.stopped_learning(before, still).endswith("have not moved gen_ab")
    assert "D_A is not finite" in step.stopped_learning(before, {**moved, "D_A": float("nan")})
    assert "not finite" in step.stopped_learning(before, {**moved, "update of gen_ab": np.array([np.inf, 4.0])})


def test_nobody_is_timed_when_ours_is_wrong() -> None:
    rows = rows_of(ours="Wrong", same="Right")
    assert rows["ours"]["wrong"]
    for row in rows.values():
        assert not {"seconds", "samples", "starts", "ratio"} & row.keys()


def test_a_worker_is_a_process_with_a_peak_of_its_own() -> None:
    ballast = np.ones(60_000_000)  # 480 MB here must not show there
    worker = Worker(f"{HERE}:Right", None, {"SEEN_BY_WORKER": "1"})
    peak = worker("memory")["peak_mb"]
    assert 1 < peak < ballast.nbytes / 1e6
    assert "SEEN_BY_WORKER" not in os.environ
    with pytest.raises(WorkerError, match="AttributeError"):
        worker("no_such_method")


def run(command: str, folder: Path, *more: str) -> tuple[int, list[dict[str, Any]]]:
    """A command as a smoke test; its exit status and rows."""
    file = folder / "rows.json"
    drawing = folder / "drawing.svg"
    status = main([command, "--quick", "--threads", "1", "--json", str(file), "--plot", str(drawing), *more])
    assert drawing.stat().st_size > 1000
    rows = json.loads(file.read_text())
    for row in rows:
        assert row["machine"]["versions"]["numpy"] and row["machine"]["cpu"] and row["machine"]["date"]
        assert row["control"]["before"]["gemm_gflops"] > 0 and row["control"]["after"]["copy_gbs"] > 0
    return status, rows


def test_step_refuses_wrong_updates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = f"{HERE}:NeverUpdates,{HERE}:ForgetsTheSkip"
    status, (ours, still, skipless) = run("step", tmp_path, "--against", broken)
    assert status == 1 and ours["seconds"]["median"] > 0
    for row in (still, skipless):
        assert row["wrong"] and "seconds" not in row
    assert "WRONG: quick, tests.test_benchmarks:NeverUpdates" in capsys.readouterr().out


def test_an_interruption_keeps_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.json"

    def two_sizes(*args: Any, **settings: Any) -> list[dict[str, Any]]:
        if file.exists():  # the first size's rows are safe before the second one starts
            raise KeyboardInterrupt
        return [{"provider": "ours", "error": "not asked"}]

    monkeypatch.setattr(step, "contest", two_sizes)
    monkeypatch.setattr(executed, "best_product", lambda args: 1.0)
    monkeypatch.setattr(machine, "control", lambda *_: {"gemm_gflops": 1.0, "copy_gbs": 1.0})
    assert main(["step", "--sizes", "tiny,64", "--json", str(file)]) == 0
    assert [row["work"] for row in json.loads(file.read_text())] == ["tiny"]
    assert "interrupted" in capsys.readouterr().out


def test_torchs_layouts_agree_with_each_other_and_with_ours() -> None:
    from benchmarks.torch_providers import Torch, TorchChannelsLast

    contestants = [kind(Work(24, 4, 1, batch=2)) for kind in (Torch, TorchChannelsLast, Ours)]
    for contestant in contestants:
        contestant.load()
    for key in range(2):
        truth, *others = (c.result(c.run(c.inputs(key))) for c in contestants)
        assert [step.differ(result, truth) <= 1 for result in others] == [True, True]
    assert step.differ({**truth, "D_A": truth["D_A"] + 0.05}, truth) > 1
    assert np.isnan(step.differ({**truth, "D_A": float("nan")}, truth))
    assert np.isnan(step.differ({k: v for k, v in truth.items() if k != "D_A"}, truth))


def test_translate_refuses_a_wrong_picture(tmp_path: Path) -> None:
    against = f"{HERE}:Darker,{HERE}:Fades,onnxruntime,openvino,ncnn"
    status, (ours, darker, fades, *runtimes) = run("translate", tmp_path, "--against", against)
    assert status == 1 and ours["seconds"]["median"] > 0
    for row in (darker, fades):
        assert row["wrong"] and "seconds" not in row
    assert fades["error"].startswith("wrong after the timing")
    assert [row["provider"] for row in runtimes] == list(RUNTIMES)
    for row in runtimes:
        assert "wrong" not in row
        assert "seconds" in row or 'not installed: pip install -e ".[bench]"' in row["error"]


def test_a_file_of_yours_races_and_its_wrong_gradient_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tanh.py"
    file.write_text(HALF_THE_GRADIENT)
    more = ("--ops", "tanh,mean", "--passes", "forward,both", "--csv", str(tmp_path / "rows.csv"))
    status, rows = run("kernels", tmp_path, *more, "--against", str(file))
    assert status == 1
    assert {row["work"] for row in rows if row["provider"] == str(file)} == {"tanh-real"}  # it is of no other op
    for row in rows:
        assert ("seconds" in row) == (row["provider"] != str(file)) == ("wrong" not in row), row
        assert row["of_roof"] > 0 if "seconds" in row else "wrong result" in row["error"]
    told = capsys.readouterr().out
    assert told.count("refused") == 2 and "makes dx too" in told
    assert (tmp_path / "rows.csv").read_text().count("\n") == len(rows) + 1


def test_scaling_follows_its_axes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "effort", lambda args: dict(pairs=3, starts=1, at_least=0.0))  # which train further
    status, rows = run("scaling", tmp_path, "--against", "")
    assert status == 0 and [row["value"] for row in rows] == [QUICK.size]
    assert all(row["seconds"]["median"] > 0 for row in rows)


def test_scaling_names_growth_and_crossover() -> None:
    x = [1.0, 4.0, 16.0]
    assert scaling.slope(x, [3 * v**1.5 for v in x]) == pytest.approx(1.5)
    faster, slower = ({"work": w, "provider": "torch", "ratio": {"median": m}} for w, m in (("a", 0.5), ("b", 1.2)))
    assert scaling.crossover([faster]) == ["crossover: none; ours is the fastest at every point"]
    assert scaling.crossover([faster, slower]) == ["crossover: others are faster at b (torch)"]


def test_profile_accounts_for_the_step(tmp_path: Path) -> None:
    status, rows = run("profile", tmp_path, "--trace", str(tmp_path / "trace.json"))
    assert status == 0
    assert 0 < sum(row["time"] for row in rows) <= rows[0]["total"] * rows[0]["threads"]
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert len(events) == sum(row["calls"] for row in rows)
    assert {event["ph"] for event in events} == {"X"} and all(event["dur"] > 0 for event in events)
    starts = [event["ts"] for event in events]
    assert starts == sorted(starts)
    assert {event["cat"] for event in events} == {"forward", "backward", "update"}


def test_watching_counts_every_convolution_and_leaves_no_trace() -> None:
    from autograd.function import Function
    from autograd.ops.tanh import Tanh

    before = Function.__call__, Tanh.backward
    contestant = Ours(QUICK)
    with watching() as events:
        contestant.run(contestant.inputs(0))
    assert (Function.__call__, Tanh.backward) == before
    norms = dict.fromkeys(costs.ELEMENTWISE, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "ELEMENTWISE", norms)
        with watching() as events:
            contestant.run(contestant.inputs(1))
    counted = sum(event.flops for event in events if event.op.startswith("conv"))
    assert counted == costs.step_flops(QUICK)


def test_the_papers_step_costs_what_is_known() -> None:
    paper = step.SIZES["paper"]
    assert round(costs.step_flops(paper) / 1e9) == 1879
    assert round(costs.generator_flops(paper)[0] / 1e9, 1) == 99.1


def test_options_that_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["step", "--against", "tensorflow"], ["step", "--sizes", "huge"], ["scaling", "--batch", "0"]):
        assert main(line) == 2
    errors = capsys.readouterr().err
    assert "--against tensorflow: wanted some of ours, reference, torch" in errors
    assert "--sizes huge" in errors and "--batch 0" in errors


def test_bfloat16_is_measured_against_full_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours through the interpreter, torch in bfloat16; a wrong gradient shows here too."""
    how = ["--device", "interpret", "--precision", "bf16", "--ops", "conv2d"]
    status, rows = run("kernels", tmp_path, *how, "--against", f"torch,{HERE}:HalfTheGradient")
    assert status == 1 and {row["precision"] for row in rows} == {"bf16"}
    for row in rows:
        assert ("seconds" in row) == (row["provider"] != f"{HERE}:HalfTheGradient"), row
    told = capsys.readouterr().out
    assert "bfloat16 activations over float32 weights (torch: autocast" in told and "TIMES MEAN NOTHING" in told


def test_precisions_reach_both_sides() -> None:
    from benchmarks.torch_providers import Torch, TorchJudge

    work = Work(32, 4, 1, device="interpret", precision="bf16")
    assert Ours(work).model.dtype.name == "bfloat16"
    truth, low = (kind(work) for kind in (TorchJudge, Torch))
    for contestant in (truth, low):
        contestant.load()
    wanted, seen = (c.result(c.run(c.inputs(0))) for c in (truth, low))
    assert step.differ(seen, wanted, "bf16") <= 1 < step.differ(seen, wanted)  # rounded, but not wrong
    for wrong in (0.0, -1.0):  # no update, and one that goes the other way
        skewed = {**wanted, "update of gen_ab": wrong * wanted["update of gen_ab"]}
        assert step.differ(skewed, wanted, "bf16") > 1


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
@pytest.mark.parametrize("command", ["kernels", "step"])
def test_the_cpu_has_one_precision(command: str, precision: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--quick", "--precision", precision]) == 2
    assert f"--precision {precision} with --device cpu: the CPU computes in full float32" in capsys.readouterr().err


def test_drift_is_seen() -> None:
    before = {"gemm_gflops": 100.0, "copy_gbs": 20.0}
    assert "steady" in machine.drift(before, {"gemm_gflops": 95.0, "copy_gbs": 21.0})
    assert "DRIFTED" in machine.drift(before, {"gemm_gflops": 80.0, "copy_gbs": 20.0})


def test_clock_counts_only_the_run() -> None:
    class Slow(Right):
        def inputs(self, key: Any) -> Any:
            time.sleep(0.2)
            return key

    from benchmarks.worker import Desk

    desk = Desk(Slow(None))
    assert max(desk.time(0, 0.0)) < 0.1
    assert options.chosen("a, b", {"a": 0, "b": 0}, "--x") == ["a", "b"]
    assert set(plot.DRAWINGS) == {"step", "translate", "kernels", "profile", "scaling", "roof"}
    assert table.render(["a", "b"], [["x", "1"]]).count("\n") == 2


def test_help_imports_nothing_of_the_commands() -> None:
    code = "import sys, benchmarks.__main__ as m\ntry: m.main(['--help'])\nexcept SystemExit: print('MODULES', *sys.modules)"
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, cwd=machine.ROOT, check=True, capture_output=True, text=True).stdout
    page, _, loaded = out.partition("MODULES")
    assert "compile_report" in page and not set(loaded.split()) & {
        "tests",
        "triton",
        "torch",
        "numpy",
        "benchmarks.step",
    }


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'tests.cases'", name="tests.cases"), "stand in its root, or from any folder"),
        (ModuleNotFoundError("No module named 'triton'", name="triton"), 'pip install -e ".[test]"'),
        (WorkerError("ModuleNotFoundError: No module named 'torch'"), 'pip install -e ".[bench]"'),
        (ModuleNotFoundError("No module named 'benchmarks.stp'", name="benchmarks.stp"), None),  # no fault of the user's
        (WorkerError("ValueError: No module"), None),
    ],
)  # fmt: skip
def test_what_is_not_installed_is_named_and_where_to_stand(
    error: Exception, said: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(words: Any) -> Any:
        raise error

    monkeypatch.setattr("benchmarks.__main__.parse", fails)
    if said is None:
        with pytest.raises(type(error)):
            main(["step"])
    else:
        assert main(["step"]) == 2 and said in capsys.readouterr().err
