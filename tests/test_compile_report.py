"""The compile report: a healthy step passes, and every kind of unfit kernel is caught."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import triton
import triton.language as tl
from ml_dtypes import bfloat16
from triton.backends.compiler import GPUTarget

from benchmarks import compile_report, gpus, sass
from benchmarks.__main__ import main
from benchmarks.compile_report import different, of_other_ops
from benchmarks.compile_tables import Kernel, kernel_table, over_budget, row
from benchmarks.cubin import Cubin, Loop, compile_launch, compilers, read
from benchmarks.recording import EveryCandidate, Operation, Step, record_ops, record_step
from kernels.conv2d import gpu as conv2d
from kernels.conv2d.geometry import Geometry
from kernels.gpu import launch as launching
from kernels.gpu.launch import Launch, empty, launch, recorded
from train.config.settings import PRESETS, Config

F4 = np.float32
KERNELS = Path(__file__).parents[1] / "kernels"


@triton.jit
def _sum_atomically(x, total, BLOCK: tl.constexpr):
    tl.atomic_add(total, tl.sum(tl.load(x + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)), 0))


@triton.jit
def _count_atomically(x, count, BLOCK: tl.constexpr):
    """Whole numbers: their sum does not depend on the order."""
    positive = tl.load(x + tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)) > 0
    tl.atomic_add(count, tl.sum(positive.to(tl.int32), 0))


@triton.jit
def _product(x, w, y, STEPS: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr):
    """y = x @ w for x [BLOCK, STEPS * BLOCK]."""
    row, column = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK)[None, :]
    acc = tl.zeros((BLOCK, BLOCK), tl.float32)
    for i in range(STEPS):
        a = tl.load(x + row * STEPS * BLOCK + i * BLOCK + column)
        b = tl.load(w + (i * BLOCK + row) * BLOCK + column)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    tl.store(y + row * BLOCK + column, acc)


@triton.jit
def _centre(x, y, BLOCK: tl.constexpr):
    """Every value is needed again after the sum: with one warp, that is BLOCK / 32 registers for each thread."""
    value = tl.load(x + tl.arange(0, BLOCK))
    tl.store(y + tl.arange(0, BLOCK), value - tl.sum(value, 0) / BLOCK)


def one_launch(kernel, *arrays, **settings) -> Launch:
    with recorded(run=False) as launches:
        launch(kernel, (4,), *arrays, **settings)
    return launches[0]


def product(precision="tf32", steps=8, block=64, **settings) -> Launch:
    x, w = np.zeros((block, steps * block), F4), np.zeros((steps * block, block), F4)
    return one_launch(
        _product, x, w, empty(x, (block, block)), STEPS=steps, BLOCK=block, PRECISION=precision, **settings
    )


def problems(of: Launch, target: int) -> list[str]:
    return compile_launch(of, target).problems(target)


@pytest.mark.parametrize(("target", "instruction"), [(80, "HMMA"), (90, "HGMMA"), (100, "UTCHMMA")])
def test_a_product_on_tensor_cores_is_fit(target, instruction):
    code = compile_launch(product(), target)
    assert code.problems(target) == [] and instruction in code.tensor and code.products == "tf32"
    assert max(code.loads) == 16 and code.registers > 0 and code.shared > 0


def test_full_float32_needs_no_tensor_cores():
    code = compile_launch(product("ieee"), 80)
    assert code.problems(80) == [] and code.tensor == {} and code.products == "fp32"


@pytest.mark.parametrize(("target", "instruction"), [(90, "HGMMA"), (100, r"UTC*MMA")])
def test_a_product_beside_the_tensor_cores_is_caught(target, instruction):
    """Tiles of 32 rows are too few for these instructions: Triton then falls back on those of older GPUs."""
    (problem,) = problems(product(block=32), target)
    assert problem.startswith(f"tf32 product without {instruction} (found: HMMA")


def test_a_product_without_any_tensor_core_is_caught():
    """As if the compiler had taken a product that is not asked for in full float32 to the ordinary cores."""
    code = compile_launch(product("ieee"), 80)
    assert dataclasses.replace(code, products="tf32").problems(80) == ["tf32 product without HMMA (found: none)"]


def test_spills_are_caught():
    x = np.zeros(16384, F4)
    code = compile_launch(one_launch(_centre, x, x, BLOCK=16384, num_warps=1), 80)
    assert (
        code.spills > 0 and compile_launch(one_launch(_centre, x, x, BLOCK=16384, num_warps=8), 80).problems(80) == []
    )
    assert any(problem.startswith(f"spills: {code.spills} accesses") for problem in code.problems(80))


@pytest.mark.parametrize(("target", "limit"), [(80, 163), (90, 227)])
def test_too_much_shared_memory_is_caught(target, limit):
    code = compile_launch(product(block=128, num_warps=8, num_stages=4), target)
    assert code.problems(target) == [f"{code.shared / 1024:.0f} KB of shared memory, of {limit}"]
    assert code.shared > limit * 1024


def test_atomics_on_floats_are_caught_and_on_integers_are_not():
    x = np.zeros(4096, F4)
    (problem,) = problems(one_launch(_sum_atomically, x, np.zeros(1, F4), BLOCK=1024), 90)
    assert problem.startswith("1 atomics on floats")
    assert problems(one_launch(_count_atomically, x, np.zeros(1, np.int32), BLOCK=1024), 90) == []


def test_what_is_no_matrix_product_needs_no_tensor_cores():
    x = np.zeros(1024, F4)
    code = compile_launch(one_launch(_centre, x, x, BLOCK=1024), 90)
    assert code.products == "" and code.tensor == {} and code.problems(90) == []


def test_instructions_are_those_of_nvidias_own_listing():
    """Several kernels taken apart at once, against one at a time by `cuobjdump`."""
    from triton import knobs

    x = np.zeros(1024, F4)
    codes, wanted = [], []
    for made in (product(), one_launch(_centre, x, x, BLOCK=1024), product("ieee")):
        compiled = triton.compile(made.source(), target=GPUTarget("cuda", 90, 32), options=made.options)
        codes.append(sass.machine_code(compiled.asm["cubin"]))
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            Path(file.name).write_bytes(compiled.asm["cubin"])
            listing = subprocess.check_output([knobs.nvidia.cuobjdump.path, "-sass", file.name], text=True)
        wanted.append([name for _, name, _ in sass.INSTRUCTION.findall(listing)])
    assert [[one.name for one in code] for code in sass.instructions(codes, 90)] == wanted and min(
        map(len, wanted)
    ) > 20


def listing(*names: str) -> list[sass.Instruction]:
    """Instructions 16 bytes apart; "BRA 3" jumps to the fourth."""
    words = [name.split() for name in names]
    return [sass.Instruction(16 * i, w[0], 16 * int(w[1]) if w[1:] else None) for i, w in enumerate(words)]


def test_the_loop_of_a_product_is_the_innermost_that_has_tensor_cores_in_it():
    code = listing(
        "S2R", "IMAD", "LDG.E", "BRA 2", "LDGSTS.128", "HGMMA.64", "BRA 4", "BRA 8", "STG", "BRA 1", "BRA 10"
    )
    assert sass.product_loop(code) == code[4:7]
    assert sass.product_loop(code[:6]) == code[5:6] and sass.product_loop(code[:5]) == ()


@pytest.mark.parametrize(("channels", "fit"), [(64, True), (128, True), (12, False)])
def test_narrow_loads_in_the_loop_of_a_product_are_caught(channels, fit):
    """Only where blocks divide channels: elsewhere they cannot be wide."""
    x, w = (np.zeros(shape, bfloat16) for shape in ((1, 16, 16, channels), (3, 3, channels, 128)))
    with recorded(run=False) as launches:
        conv2d.forward(x, w, None, geometry=Geometry(padding=1, padding_mode="reflect"))
    code = compile_launch(launches[0], 90)
    assert code.problems(90) == [] and code.products == "bf16"
    assert (code.loop.straight.keys() == {16} and not code.loop.waiting) == fit and code.loop.instructions > 40
    assert bool(code.problems(90, even=True)) != fit
    assert Kernel([launches[0]], {90: code}).even == fit


def test_a_kernel_that_does_not_compile_is_reported():
    """Blocks must be a power of two."""
    with compilers(jobs=1) as begin:
        (found,) = read(begin([(product(block=48), 90)]))
    assert isinstance(found, str) and found.startswith("does not compile") and "power of 2" in found


def test_other_processes_compile_the_same():
    work = [(product(), 80), (product(), 90), (product(steps=4), 80)]
    with compilers(jobs=2) as begin:
        assert read(begin(work)) == [compile_launch(*pair) for pair in work]


# -- the command


def test_quick_report_passes(tmp_path, capsys):
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "md")}
    options = ["--quick", "--targets", "90", "--json", str(files["json"]), "--markdown", str(files["md"])]
    assert main(["compile_report", *options]) == 0
    rows = json.loads(files["json"].read_text())
    assert len(rows) == 4 and all(row["problems"] == [] for row in rows)
    assert any(row["flops"] and row["products"] == "bf16" for row in rows) and all(row["bytes"] > 0 for row in rows)
    text = files["md"].read_text()
    assert all(row["kernel"] in text for row in rows) and "None." in text
    assert "UNFIT" not in capsys.readouterr().out


def test_an_unfit_kernel_fails_the_command(monkeypatch, capsys):
    x = np.zeros(4096, F4)
    step = Step([one_launch(_sum_atomically, x, np.zeros(1, F4), BLOCK=1024)])
    monkeypatch.setattr(compile_report, "record_step", lambda *_: step)
    assert main(["compile_report", "--quick", "--precision", "fp32", "--targets", "80"]) == 1
    assert "UNFIT fp32: tests.test_compile_report._sum_atomically (1024) on sm_80: 1 atomics" in capsys.readouterr().out


def test_a_step_over_its_budget_is_caught():
    within = {"precision": "bf16", "launches": 330, "bytes": 7e9, "milliseconds": {"H100": {"all": 6.0}}}
    assert over_budget(within) == []
    beyond = {"precision": "bf16", "launches": 331, "bytes": 7.1e9, "milliseconds": {"H100": {"all": 6.1}}}
    assert [problem.split(", at")[0] for problem in over_budget(beyond)] == [
        "a step takes 331 launches", "a step takes 7.1e+09 bytes", "a step takes 6.1 milliseconds",
    ]  # fmt: skip
    assert over_budget({**beyond, "precision": "fp32"}) == []


def test_every_kernel_that_is_launched_anywhere_is_compiled():
    """The step's and the ops' launches together are all that kernels/ has."""
    step = different(record_step("bf16", Config(**PRESETS["tiny"]).replace(crop_size=256)).launches)
    others = of_other_ops(step, record_ops("bf16"))
    assert others and {kernel.role for kernel in others} == {"op"}
    launched = {kernel.shown.name for kernel in (*step, *others)}
    paths = [(path, path.relative_to(KERNELS).with_suffix("").as_posix()) for path in KERNELS.glob("**/*.py")]
    written = {
        f"{place.removeprefix('gpu/').partition('/')[0]}.{name}"
        for path, place in paths
        for name in re.findall(r"^ +(?:launch|return loss_and_gradient)\(\s*(_\w+),", path.read_text(), re.MULTILINE)
    }
    scaled = {kernel.shown.name for kernel in others if kernel.shown.signature.get("scale", "").startswith("*")}
    assert scaled == {
        "instance_norm._normalise",
        "instance_norm._sums",
        "instance_norm._dx",
    }  # conditional_instance_norm's
    assert len(written) > 20 and launched == written - {"launch._double"}  # the last is an example in a docstring


def test_a_key_of_one_compiles():
    """Numbers that are 1 are compiled in, and are then no tensors."""
    from kernels.dropout import gpu as dropout

    with recorded(run=False) as launches:
        dropout.forward(np.zeros(64, F4), p=0.5, key=1)
    assert problems(launches[0], 90) == []


@pytest.mark.parametrize("option", [["--targets", "70"], ["--precision", "fp8"]])
def test_unknown_options_are_refused(option, capsys):
    assert main(["compile_report", *option]) == 2
    assert f"error: {' '.join(option)}: wanted some of" in capsys.readouterr().err


def test_unfit_candidates_are_listed_and_the_tables_choice_must_be_fit(monkeypatch, capsys):
    """A tile that measuring would try may be unfit, for there it is left out; the same tile as the table's may not."""
    small, large = (product(block=block, num_warps=8, num_stages=4) for block in (64, 128))
    options = ["compile_report", "--precision", "tf32", "--targets", "80", "--jobs", "1", "--kernels", "*_product"]

    def record(precision, config, system, candidates=False):
        return Step([small, large] if candidates else [table])

    monkeypatch.setattr(compile_report, "record_step", record)
    table = small
    assert main([*options, "--candidates"]) == 0
    said = capsys.readouterr().out
    assert "### Left out when 1 more tiles are measured\n\n- tests.test_compile_report._product (128 w8)" in said
    assert "KB of shared memory, of 163" in said and "UNFIT" not in said
    table = large
    assert main([*options, "--candidates"]) == 1


def test_every_tile_that_measuring_tries_for_a_residual_layer_is_fit():
    """On an H100 in bfloat16, where most of the time goes: nothing is tried in vain."""
    x, w = np.zeros((4, 64, 64, 256), bfloat16), np.zeros((3, 3, 256, 256), bfloat16)
    with recorded(run=False) as launches, pytest.MonkeyPatch.context() as patch:
        patch.setattr(launching.hooks, "tuner", EveryCandidate())
        geometry = Geometry(padding=1, padding_mode="reflect")
        conv2d.backward(conv2d.forward(x, w, geometry=geometry), x, w, geometry=geometry)
    tried = {launch.key: launch for launch in launches if launch.flops}
    assert len(tried) >= 12 and {launch.constexprs["BM"] for launch in tried.values()} == {64, 128}
    assert [problem for launch in tried.values() for problem in problems(launch, 90)] == []


# -- the record and the prediction


def test_a_step_is_recorded_without_running(monkeypatch):
    monkeypatch.setattr("kernels.gpu.interpreter.run", None)
    step = record_step("tf32", Config(**PRESETS["tiny"]))
    names = {entry.name for entry in step.launches}
    assert {"conv2d._fprop", "conv2d._wgrad", "adam._adam"} <= names
    assert sum(entry.name == "adam._adam" for entry in step.launches) == 2
    assert {operation.name for operation in step.operations} <= {"zeros", "from the host", "copy"}  # no arithmetic
    assert step.waits == 3  # each player's losses before it moves, and all of them
    assert np.zeros(1).__class__ is np.ndarray  # NumPy is left as it was


def test_storing_bf16_halves_the_bytes_of_pictures():
    tiny = Config(**PRESETS["tiny"])
    full, half = (record_step(precision, tiny) for precision in ("tf32", "bf16"))
    moved = [sum(entry.bytes for entry in step.launches if entry.name == "conv2d._fprop") for step in (full, half)]
    assert 0.48 < moved[1] / moved[0] < 0.55
    assert len(full.launches) == len(half.launches) - 2  # pictures are rounded; Adam leaves the weights so on its way


def test_every_operation_on_arrays_is_counted(monkeypatch):
    from benchmarks.recording import Watched, _watched

    step = Step()
    with _watched(step):
        x = np.zeros((4, 8), F4)
        y = x[:2] + 1.0
        y *= 2.0
        np.stack([y, y])
        np.asarray(x)
        np.asarray(x, np.float64)
        np.expand_dims(x, 0)
        x[:2] = y
        assert isinstance(y.sum(), Watched) and y.sum().item() == 32.0
    names = [operation.name for operation in step.operations]
    assert names == ["zeros", "add", "multiply", "stack", "astype", "copy", "add", "add"]
    assert step.operations[1] == Operation("add", 128) and step.waits == 1


def test_waves_are_told_for_every_size_of_gpu():
    """Also for one that nothing was compiled for: the RTX 4090 runs the A100's code, with fewer threads at a time."""
    code = Cubin(32, 0, 0, 1024, 8, {}, {}, {}, 0, "", 100, Loop(0, {}, {}))
    assert code.resident(80) == 8 and code.resident(89) == 6  # 2048 and 1536 threads
    assert dataclasses.replace(code, shared=120 * 1024).resident(89) == 0
    x = np.zeros(1024, F4)
    kernel = Kernel([one_launch(_centre, x, x, BLOCK=1024)], {80: code, 90: code, 100: code})
    head = kernel_table([kernel]).splitlines()[0]
    assert re.findall(r"waves (\d+)", head) == ["108", "128", "132", "148"]
    assert row("fp32", 1, kernel)["waves"]["128"] == "0.01" == f"{4 / (128 * 6):.2f}" and "RTX 4090" in head
    assert set(gpus.those_for([90])) == {"H100", "H200"} and "RTX 4090" in gpus.those_for([80])
