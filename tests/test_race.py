"""Races of single ops: the honest are timed, and each liar is refused with its reason. Workers stand in this process, judged by
the references in double precision: no other process, no torch. Commands as a whole are in test_benchmarks.py."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from benchmarks import kernels, machine, op_tables, options, plot, worker
from benchmarks.costs import Cost, fewest_multiplications, op_cost
from benchmarks.op_providers import FileOps, OpWork, OursOps, ReferenceTruth, case, reshaped
from benchmarks.peaks import Peaks
from benchmarks.race import SEEDS, Ask, Rules, differ, race
from benchmarks.worker import Desk, Result, WorkerError
from kernels import dispatch
from kernels.device import get_device
from kernels.dispatch import implementation
from lessons.c15_measure.liars import LIARS, Run
from tests.cases import CASES
from train.errors import UserError

TANH = "tanh-real"
WORK = OpWork(full=False)
RULES = Rules(WORK, pairs=3, at_least=0.0)
SLOW = Peaks(gemm_gflops=1.0, copy_gbs=0.01, copies={1 << 16: 15.0})
"""Of a machine that needs 1.6 microseconds at least to read the 49 KB of TANH from its caches, and 2 ms from memory."""


@pytest.fixture(autouse=True)
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among all that a test process holds, collecting garbage before each measurement takes longer than the race."""
    monkeypatch.setattr(worker.gc, "collect", lambda: 0)


@pytest.fixture(autouse=True)
def only_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker's process computes with references, or with a file's kernels, to its end; this process goes on to other tests."""
    monkeypatch.setattr(dispatch, "PREFERENCE", dict(dispatch.PREFERENCE))
    yield
    implementation.cache_clear()


def at(contestant: Any) -> Ask:
    """A contestant as its worker would answer, but in this process."""
    desk = Desk(contestant)

    def ask(method: str, *arguments: Any) -> Any:
        try:
            return getattr(desk, method)(*arguments)
        except Exception as error:
            raise WorkerError(f"{type(error).__name__}: {error}") from error

    return ask


class Liar(OursOps):
    """Ours, with another forward in the kernel's place."""

    def __init__(self, forward: Run, work: OpWork = WORK) -> None:
        super().__init__(work)
        self.forward = forward

    def run(self, inputs: Any) -> Any:
        with patch.object(implementation("tanh", get_device("cpu")), "forward", self.forward):
            return inputs()


class WorksAfterTheClock(OursOps):
    """What is timed does nothing; whoever asks for the result gets it."""

    def run(self, inputs: Any) -> Any:
        return inputs

    def result(self, output: Any) -> Result:
        return super().result(output())


def rows_of(rules: Rules = RULES, peaks: Peaks = SLOW, name: str = TANH, **others: Any) -> dict[str, dict[str, Any]]:
    """The rows of a race's forward, by contestant."""
    found = race(name, {"ours": at(OursOps(WORK)), **others}, at(ReferenceTruth(WORK)), rules, peaks)
    return {row["provider"]: row for row in found if row["direction"] == rules.directions[0]}


REASONS = {
    "remembers answers": "right before the timing and wrong after, on other data: wrong result: ",
    "less exact": "; unequal precision: as exact as half precision is, where float32 was asked for",
    "half of it": "wrong result: ",
    "writes into its input": "writes into its inputs: x",
    "right only while looked at": "right before the timing and wrong after, on other data: wrong result: ",
}


def test_five_liars_are_refused_and_the_honest_are_timed() -> None:
    honest = implementation("tanh", get_device("cpu")).forward
    liars = {name: at(Liar(make(honest))) for name, make in LIARS.items()}
    rows = rows_of(honest=at(Liar(honest)), **liars)
    for name in ("ours", "honest"):
        assert rows[name]["seconds"]["median"] > 0 and "error" not in rows[name]
    assert rows["honest"]["ratio"]["median"] > 0 and "ratio" not in rows["ours"]
    assert LIARS.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert rows[name]["wrong"] and reason in rows[name]["error"], rows[name]
        assert not {"seconds", "samples", "ratio", "gbs"} & rows[name].keys()


def test_a_time_below_the_floor_is_refused_from_warm_caches_and_from_cold() -> None:
    rows = rows_of(early=at(WorksAfterTheClock(WORK)))
    assert rows["early"]["wrong"] and "seconds" in rows["ours"]
    assert "for 0.0492 MB to read; this machine needs 1.64 µs at the very least" in rows["early"]["error"]
    # The same honest run, sold as one from memory: no memory of 10 MB/s gives 49 KB in less than 2 ms.
    with patch.object(worker, "flush", lambda: None):
        sold = rows_of(Rules(WORK, pairs=3, at_least=0.0, cold=True))
    assert "from cold caches; this machine needs 2.46e+03 µs" in sold["ours"]["error"] and "seconds" not in sold["ours"]


def test_cold_means_that_the_caches_are_emptied_between_inputs_and_run() -> None:
    said: list[str] = []

    class Tells(OursOps):
        def inputs(self, key: Any) -> Any:
            said.append("inputs")
            return super().inputs(key)

        def run(self, inputs: Any) -> Any:
            said.append("run")
            return super().run(inputs)

    with patch.object(worker, "flush", lambda: said.append("flush")):
        ask = at(Tells(WORK))
        ask("time", (TANH, "forward", 0), 0.0, True)
        ask("time", (TANH, "forward", 0), 0.0)
    assert said == ["inputs", "flush", "run", "inputs", "run"]
    with patch.object(worker, "FLUSH", 1 << 12):
        worker._other.cache_clear()
        worker.flush()
        assert worker._other().all()  # it was written, so it was in the cache
    worker._other.cache_clear()


def test_nobody_brings_a_clock() -> None:
    class Flatters(OursOps):
        clock: Any = staticmethod(lambda run, inputs: 1e-9)

        def __init__(self, work: OpWork) -> None:
            super().__init__(work)
            self.clock = Flatters.clock

    with pytest.raises(ValueError, match="brings no clock of its own: wanted one of wall, cupy, interpret, torch"):
        Desk(Flatters(WORK))


def test_unequal_precision_is_seen_in_what_comes_back() -> None:
    short = at(Liar(lambda x: np.tanh(x.astype(np.float16))))
    assert rows_of(short=short)["short"]["error"] == "unequal precision: y is float16, wanted float32"


@pytest.mark.parametrize("seed", SEEDS)
def test_tanhs_gradient_may_be_off_by_what_rounding_its_output_costs(seed: int) -> None:
    """In bfloat16 it is more than a rounding of the gradient itself, for torch as for us."""
    work, key = OpWork("interpret", "bf16", full=False), (TANH, "both", seed)
    result, truth = (side.result(side.run(side.inputs(key))) for side in (OursOps(work), ReferenceTruth(work)))
    y, dy = truth["y"], work.upstream(TANH, truth["y"].shape, seed).astype(np.float64)
    read = dy * (1 - y.astype(work.dtype).astype(np.float64) ** 2)  # the formula, of y as it is stored
    assert np.abs(result["dx"] - read).max() < np.abs(result["dx"] - truth["dx"]).max() / 2
    assert differ(TANH, result, truth, work) < 1 < differ(TANH, {**result, "dx": 0.97 * result["dx"]}, truth, work)


def test_when_ours_lies_nobody_is_timed() -> None:
    wrong = at(Liar(np.sin))
    rows = race(TANH, {"ours": wrong, "same": at(OursOps(WORK))}, at(ReferenceTruth(WORK)), RULES, SLOW)
    assert all("seconds" not in row for row in rows) and rows[0]["wrong"]


def test_who_fails_in_the_timing_has_no_speed() -> None:
    class Dies(OursOps):
        def run(self, inputs: Any) -> Any:
            raise MemoryError("no room")

    rows = rows_of(dies=at(Dies(WORK)))
    assert rows["dies"]["error"] == "MemoryError: no room" and "seconds" in rows["ours"]
    refused = rows_of(name="reflection_pad-real@1x2x2x1")
    assert list(refused) == [] or "refuses these inputs" in refused["truth"]["error"]


def test_a_fused_loss_says_what_its_forward_makes() -> None:
    rules = Rules(WORK, ("forward", "backward", "both"), pairs=1, at_least=0.0)
    easy = Peaks(1e6, 1e6, {})
    rows = race("l1_loss-real", {"ours": at(OursOps(WORK))}, at(ReferenceTruth(WORK)), rules, easy)
    assert [row.get("note") for row in rows] == ["makes dx too", "only scales dx, which the forward made", None]
    n = 64 * 64 * 3
    assert [row["bytes"] for row in rows] == [4 * (3 * n + 1), 4 * 4 * n, 4 * (7 * n + 1)]
    assert all("seconds" in row for row in rows)


@pytest.mark.parametrize(
    "name", ["conv_norm_relu-real", "l1_loss-real", "resize-real-bilinear", "conditional_instance_norm-real"]
)
def test_without_torch_the_references_are_as_good_a_truth(name: str) -> None:
    torch_ops = pytest.importorskip("benchmarks.torch_ops")
    for seed in (0, 1):
        key = (name, "both", seed)
        mine, theirs = (c.result(c.run(c.inputs(key))) for c in (ReferenceTruth(WORK), torch_ops.TruthOps(WORK)))
        assert mine.keys() == theirs.keys() and all(a.dtype == np.float64 for a in mine.values())
        for k, t in theirs.items():
            assert np.abs(mine[k] - t).max() <= 1e-11 * max(1, np.abs(t).max())


def test_other_data_lie_in_the_same_arrays() -> None:
    ours = OursOps(WORK)
    (x,) = ours.leaves(TANH, 0).values()
    before, place = x.data.copy(), x.data.ctypes.data
    (other,) = ours.leaves(TANH, 1).values()
    assert other is x and x.data.ctypes.data == place and not np.allclose(before, x.data)
    assert ours.changed((TANH, "forward", 1)) == []
    x.data[0, 0, 0, 0] += 1
    assert ours.changed((TANH, "forward", 1)) == ["x"]


# -- shapes, files, options


def test_inputs_follow_the_first_ones_shape() -> None:
    block = case("conv_norm_relu-real@2x32x48x128")
    assert block.shapes == dict(x=(2, 32, 48, 128), w=(3, 3, 128, 128), skip=(2, 32, 48, 128))
    assert case("conv2d-stride-2@1x64x64x16").shapes == dict(x=(1, 64, 64, 16), w=(3, 3, 16, 128), b=None)
    assert case("conditional_instance_norm-real@4x8x8x16").shapes["scale"] == (4, 16)
    assert case("resize-real@1x128x64x8").settings["size"] == (64, 32)
    assert case("l1_loss-real@2x8x8x3").full == dict(x=(2, 8, 8, 3), y=(2, 8, 8, 3))
    for c in CASES:
        if c.full:
            first, *_ = c.full.values()
            assert first is not None and reshaped(c, first).full == c.full


def test_a_file_stands_in_our_kernels_place(tmp_path: Path) -> None:
    file = tmp_path / "leaky_relu.py"
    file.write_text("def forward(x, *, slope):\n    return x * 0 + 7\n")
    assert kernels.op_of(file, "") == "leaky_relu" and kernels.op_of(file, "tanh-real") == "tanh"
    assert kernels.missing(file) == {"backward", "both"}
    device = get_device("cpu")
    with patch.dict("sys.modules"):
        made = FileOps(OpWork(full=False, file=str(file), op="leaky_relu"))
        output = made.result(made.run(made.inputs(("leaky_relu-real", "both", 0))))
        implementation.cache_clear()
    assert (output["y"] == 7).all() and output["dx"].any()  # the backward that it lacks is the reference's
    assert implementation("leaky_relu", device).__file__ != str(file)  # and ours is back
    for text, names in (
        ("from kernels.tanh.reference import backward, forward", set()),
        ("forward = max\nbackward: int = 3\ndef backward(): ...", set()),
        ("def backward(): ...", {"forward", "both"}),
    ):
        file.write_text(text)
        assert kernels.missing(file) == names


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.py", "def forward(x): ...", r"of which op\? Say --ops with one of conv2d"),
        ("tanh.py", "def fast(x): ...", "wanted functions `forward` and `backward`"),
        ("tanh.py", "def forward(x:", "not a file of Python"),
        ("tanh.py", None, "there is no such file"),
    ],
)
def test_a_file_that_cannot_race_is_refused(name: str, text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        kernels.op_of(tmp_path / name, "")
        kernels.missing(tmp_path / name)


def words(*line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    kernels.configure(parser)
    return parser.parse_args(line)


def test_works_that_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert kernels.works(words("--ops", "reflection_pad,conv2d-stem"), []) == ["reflection_pad-real", "conv2d-stem"]
    assert kernels.works(words("--ops", "tanh", "--sizes", "8,16"), []) == ["tanh-real@1x8x8x3", "tanh-real@1x16x16x3"]
    assert kernels.works(words("--shape", "2x8x8x4"), ["tanh"]) == ["tanh-real@2x8x8x4"]
    assert "conv2d-stem" not in kernels.works(words("--quick", "--ops", "conv2d"), [])
    for line, said in (
        (("--shape", "8x8"), "--shape 8x8: wanted images x height x width x channels"),
        (("--sizes", "big"), "--sizes big: wanted heights and widths in pixels"),
        (("--shape", "1x8x8x3", "--sizes", "8"), "leave one of them out"),
        (("--ops", "convolution"), "--ops convolution"),
    ):
        with pytest.raises(UserError, match=said):
            kernels.works(words(*line), [])
    assert kernels.run(words("--list", "--ops", "l1_loss,resize")) == 0
    told = capsys.readouterr().out
    assert "x 1x256x256x3 y 1x256x256x3" in told and "the forward makes dx too" in told and "size=(32, 32)" in told


# -- costs, peaks, tables


def test_costs_and_peaks() -> None:
    conv = op_cost("conv2d", [(1, 8, 8, 4), (3, 3, 4, 5), None], (1, 6, 6, 5), "forward")
    assert conv.flops == 2 * 36 * 9 * 4 * 5 and conv.bytes == 4 * (256 + 180 + 180)
    assert (
        conv.flops / conv.least_flops == fewest_multiplications(3, 3) == 324 / 64 and fewest_multiplications(1, 1) == 1
    )
    back = op_cost("tanh", [(10,)], (10,), "backward")
    assert (back.bytes, back.least_bytes) == (
        120,
        40,
    )  # what is written may stay in a cache; y could have been forgotten
    assert op_cost("reflection_pad", [(1, 4, 4, 1)], (1, 6, 6, 1), "backward").bytes == 4 * (16 + 36)
    peaks = Peaks(100.0, 10.0, {1 << 14: 80.0, 1 << 20: 40.0})
    assert (peaks.gbs(1 << 15), peaks.gbs(1 << 19), peaks.gbs(1 << 15, cold=True)) == (80.0, 40.0, 10.0)
    moved = Cost(0, 1 << 20, 0, 1 << 20)
    assert peaks.roof(moved) == (1 << 20) / 40e9 and peaks.floor(moved) == (1 << 20) / 80e9 / 2
    assert peaks.floor(moved, cold=True) == (1 << 20) / 10e9 / 2 and peaks.bound(moved) == "memory"
    assert (
        peaks.bound(Cost(1e9, 1e6, 1e9, 1e6)) == "compute" and peaks.bound(Cost(1e9, 1e6, 0, 1e6)) == "memory"
    )  # no product
    better = peaks.better(Peaks(50.0, 20.0, {1 << 14: 90.0, 1 << 20: 30.0}))
    assert (
        better
        == Peaks(100.0, 20.0, {1 << 14: 90.0, 1 << 20: 40.0})
        == Peaks(**json.loads(json.dumps(better.described())))
    )


def measured(work: str, provider: str, ms: float, **more: Any) -> dict[str, Any]:
    about = {"cpu": "a processor", "cores": 2, "commit": "abc", "date": "2030-01-01"}
    seconds = {"median": ms / 1e3, "p80": ms / 1e3, "low": ms / 1e3, "high": ms / 1e3}
    row = {
        "work": work, "op": "tanh", "direction": "forward", "provider": provider, "precision": "fp32", "device": "cpu",
        "cache": "warm", "flops": 1e6, "bytes": 2e6, "least_flops": 0, "least_bytes": 2e6, "seconds": seconds, "gflops": 1 / ms,
        "gbs": 2 / ms, "of_roof": 0.5, "bound_by": "memory", "peaks": SLOW.described(), "machine": about, "samples": [1.0],
    }  # fmt: skip
    return {**row, **more}


def test_every_contestant_has_a_row_and_along_sizes_a_line(tmp_path: Path) -> None:
    sizes = ("tanh-real@1x8x8x3", "tanh-real@1x16x16x3")
    rows = [measured(size, who, ms) for size, ms in zip(sizes, (0.5, 0.25), strict=True) for who in ("ours", "mine.py")]
    refused = measured(sizes[1], "other", 1.0, error="impossible: too fast", wrong=True)
    del refused["seconds"]
    said = op_tables.show([*rows, refused]).split("\n")
    assert sum(line.startswith("| tanh-real@") for line in said) == 5
    assert [line.split() for line in said if line.startswith("| mine.py")] == [
        ["|", "mine.py", "|", "4", "GB/s", "|", "8", "GB/s", "|"]
    ]
    assert "tanh-real@1x16x16x3, other: impossible: too fast" in said and any("refused" in line for line in said)
    drawing = plot.ops(rows)
    (ax,) = [ax for ax in drawing.axes if ax.lines]
    assert {line.get_label(): list(line.get_ydata()) for line in ax.lines} == {"ours": [4, 8], "mine.py": [4, 8]}
    lines = list(csv.DictReader(io.StringIO(options.as_csv([*rows, refused]))))
    assert (
        len(lines) == 5 and float(lines[1]["seconds.median"]) == 0.0005 and lines[4]["error"] == "impossible: too fast"
    )
    assert lines[0]["machine.cpu"] == "a processor" and lines[4]["seconds.median"] == ""


def test_earlier_rows_are_compared_if_they_were_measured_in_the_same_way(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text(json.dumps([measured(TANH, "ours", 2.0), measured(TANH, "torch", 2.0, cache="cold")]))
    rows = op_tables.compared(
        [measured(TANH, "ours", 1.0), measured(TANH, "torch", 1.0)], op_tables.baseline(str(file))
    )
    assert rows[0]["earlier"]["ratio"] == 0.5 and "earlier" not in rows[1]
    said = op_tables.show(rows)
    assert "now/then" in said and "0.50" in said and "then: a processor, 2 cores, commit abc, 2030-01-01" in said
    for text in ("no JSON", '{"a": 1}', "[[1]]", '[{"seconds": 1}]'):
        file.write_text(text)
        with pytest.raises(UserError, match="not rows that `--json` of this command wrote"):
            op_tables.baseline(str(file))


def test_an_installed_program_writes_its_tables_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert machine.results_folder("cpu").is_relative_to(machine.ROOT / "benchmarks")
    monkeypatch.setattr(machine, "IN_REPOSITORY", False)
    assert machine.results_folder("cpu").is_relative_to(tmp_path)
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} 1")
    assert machine.commit() == "palindrome-gan 1"
