"""Tile sizes by measurement: what is chosen, kept, refused. The clock is made up; everything else is as on a GPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import triton
import triton.language as tl

from benchmarks.__main__ import main
from benchmarks.op_providers import OpWork, OursOps
from kernels.conv2d import gpu as conv2d
from kernels.conv2d.geometry import Geometry
from kernels.conv_norm_relu import gpu as conv_norm_relu
from kernels.device import Device
from kernels.gpu import autotune as tuning
from kernels.gpu.autotune import start, stop
from kernels.gpu.launch import hooks, launch, recorded
from kernels.gpu.replays import Replays
from kernels.instance_norm.settings import NormSettings
from train.config.settings import Config
from train.errors import UserError
from train.run import command

TABLE, SMALL, LARGE = dict(BM=64, BN=16), dict(BM=16, BN=16), dict(BM=128, BN=16)
KERNEL = SimpleNamespace(__name__="_product", cache_key="0123456789abcdef" * 2)
SECONDS = {64: 3.0, 16: 2.0, 128: 1.0}  # by BM


@pytest.fixture(autouse=True)
def _table_afterwards() -> Iterator[None]:
    yield
    stop()


@triton.jit
def _double(x, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(x + at, 2 * tl.load(x + at))


def scale(x: np.ndarray) -> None:
    launch(_double, (1,), x, BLOCK=8)


def near(tiles: dict[str, int]) -> list[dict[str, int]]:
    return [tiles, SMALL, LARGE]


class Clock:
    """Seconds by the tiles that were last attempted."""

    def __init__(self) -> None:
        self.calls = 0
        self.tiles: dict[str, int] = {}

    def __call__(self, run: Any) -> float:
        run()
        self.calls += 1
        return SECONDS[self.tiles["BM"]] + 0.1 * (self.calls % 3)  # a little noise


def product(clock: Clock, shape: tuple[Any, ...] = (4, 4), kernel: Any = KERNEL) -> dict[str, int]:
    return tuning.pick(kernel, shape, TABLE, near, lambda tiles: clock.__setattr__("tiles", tiles))


def test_without_measuring_the_table_holds() -> None:
    clock = Clock()
    assert product(clock) is TABLE and clock.calls == 0


def test_the_fastest_is_kept_and_found_again(tmp_path: Path) -> None:
    path, clock = tmp_path / "new folder" / "tiles.json", Clock()
    start(path, gpu="H100", timer=clock)
    assert product(clock) == LARGE and clock.calls == 3 * tuning.ROUNDS
    assert product(clock) == LARGE and clock.calls == 3 * tuning.ROUNDS
    start(path, gpu="H100", timer=clock)  # another run
    assert product(clock) == LARGE and clock.calls == 3 * tuning.ROUNDS
    assert [p.name for p in path.parent.iterdir()] == ["tiles.json"]


@pytest.mark.parametrize(
    "other",
    [dict(gpu="A100"), dict(shape=(4, 8)), dict(kernel=SimpleNamespace(__name__="_product", cache_key="f" * 32))],
    ids=["GPU", "shape", "source"],
)
def test_what_differs_is_measured_anew_and_both_are_kept(other: dict[str, Any], tmp_path: Path) -> None:
    path, clock = tmp_path / "tiles.json", Clock()
    start(path, gpu="H100", timer=clock)
    product(clock)
    start(path, gpu=other.pop("gpu", "H100"), timer=clock)
    product(clock, **other)
    assert clock.calls == 6 * tuning.ROUNDS
    start(path, gpu="H100", timer=clock)
    product(clock)
    assert clock.calls == 6 * tuning.ROUNDS
    assert sum(map(len, json.loads(path.read_text()).values())) == 2


def test_another_triton_is_another_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, clock = tmp_path / "tiles.json", Clock()
    for version in ("3.6.0", "3.9.0"):
        monkeypatch.setattr("triton.__version__", version)
        start(path, gpu="H100", timer=clock)
        product(clock)
    assert clock.calls == 6 * tuning.ROUNDS and len(json.loads(path.read_text())) == 2


@pytest.mark.parametrize("content", [b"\xff\x00", b"", b'{"H100', b"[1, 2]", b'{"H100": 3}'])
def test_a_damaged_file_is_measured_anew_and_written_over(content: bytes, tmp_path: Path) -> None:
    path, clock = tmp_path / "tiles.json", Clock()
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="tiles.json holds no tile sizes"):
        start(path, gpu="H100", timer=clock)
    assert product(clock) == LARGE
    assert next(iter(json.loads(path.read_text()).values()))


@pytest.mark.parametrize("kept", [dict(BM=17, BN=10**9), "large", None, [64, 16], dict(BM=128)])
def test_a_choice_that_is_no_candidate_is_not_believed(kept: Any, tmp_path: Path) -> None:
    path, clock = tmp_path / "tiles.json", Clock()
    tuner = start(path, gpu="H100", timer=clock)
    product(clock)
    (key,) = tuner.kept
    path.write_text(json.dumps({tuner.gpu: {key: kept}}))
    start(path, gpu="H100", timer=clock)
    assert product(clock) == LARGE and clock.calls == 6 * tuning.ROUNDS


def test_candidates_that_do_not_fit_or_spill_are_out(tmp_path: Path) -> None:
    clock = Clock()

    def attempt(tiles: dict[str, int]) -> None:
        clock.tiles = tiles
        if tiles is LARGE:
            raise RuntimeError("out of resource: shared memory")
        hooks.compiled(SimpleNamespace(n_spills=8 if tiles is SMALL else 0))

    start(tmp_path / "tiles.json", gpu="H100", timer=clock)
    assert tuning.pick(KERNEL, (1,), TABLE, near, attempt) is TABLE
    assert clock.calls == tuning.ROUNDS


def test_nothing_is_timed_while_launches_are_only_noted_or_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    tuner = start(tmp_path / "tiles.json", gpu="H100", timer=clock)
    with recorded(run=False):
        assert product(clock) is TABLE
    monkeypatch.setattr("kernels.gpu.launch.captured", [object()])
    assert product(clock) is TABLE and clock.calls == 0 and tuner.kept == {}


def test_a_file_that_cannot_be_written_is_known_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        start(tmp_path / "file" / "tiles.json", gpu="H100", timer=Clock())


@pytest.mark.parametrize("slowest", ["first", "last"])
def test_convolutions_give_the_same_numbers_with_measured_tiles(slowest: str, tmp_path: Path) -> None:
    """Forward, dx and dw of a mirrored convolution; then, from the file alone, the same bits."""
    rng = np.random.default_rng(0)
    x, w, dy = (rng.normal(size=s).astype(np.float32) for s in ((1, 6, 5, 16), (3, 3, 16, 20), (1, 6, 5, 20)))
    how = dict(geometry=Geometry(padding=1, padding_mode="reflect"))
    calls: list[float] = []

    def clock(run: Any) -> float:
        run()
        calls.append(len(calls) if slowest == "last" else -len(calls))
        return calls[-1]

    def results() -> list[np.ndarray]:
        return [conv2d.forward(x, w, **how), *conv2d.backward(dy, x, w, **how)]

    wanted = results()
    tuner = start(tmp_path / "tiles.json", gpu="H100", timer=clock)
    first, measured = results(), len(calls)
    assert len(tuner.kept) == 3 and measured
    assert all(np.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(first, wanted, strict=True))
    start(tmp_path / "tiles.json", gpu="H100", timer=clock)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(results(), first, strict=True)) and len(calls) == measured


@pytest.mark.parametrize("launches", [1, 2])
def test_a_block_takes_one_launch_or_two_whichever_is_faster(launches: int, tmp_path: Path) -> None:
    """Here each launch takes, or saves, a second; the choice is kept beside the tiles, and the file alone brings it back."""
    rng, calls = np.random.default_rng(0), []
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((1, 6, 5, 16), (3, 3, 16, 16)))
    how = dict(geometry=Geometry(padding=1, padding_mode="reflect"), norm=NormSettings())

    def clock(run: Any) -> float:
        with recorded() as made:
            run()
        calls.append(len(made))
        return calls[-1] if launches == 1 else -calls[-1]

    wanted = conv_norm_relu.forward(x, w, **how)
    tuner = start(tmp_path / "tiles.json", gpu="H100", timer=clock)
    conv_norm_relu.forward(x, w, **how)
    assert {1, 2} <= {*calls} and {"launches": launches} in tuner.kept.values()
    measured = len(calls)
    start(tmp_path / "tiles.json", gpu="H100", timer=clock)
    with recorded() as made:
        results = conv_norm_relu.forward(x, w, **how)
    assert len(made) == launches and len(calls) == measured
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(results, wanted, strict=True))


def test_the_gpus_name_comes_from_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = SimpleNamespace(getDevice=lambda: 1, getDeviceProperties=lambda device: {"name": b"NVIDIA H100"})
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    assert tuning.gpu_name() == "NVIDIA H100"


def test_a_candidate_is_captured_once_and_its_replays_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the device is the interpreter's, and the clock counts: a candidate takes as long as its middle replay."""
    monkeypatch.setattr(tuning, "get_device", lambda name: Device("interpret"))
    seconds = iter([5.0, 1.0, 3.0, 9.0, 2.0])
    monkeypatch.setattr(Replays, "seconds", lambda self: (self.graph.replay(), next(seconds))[1])
    x, ran = np.ones(8, np.float32), []

    def attempt() -> None:
        ran.append(1)
        scale(x)

    assert tuning.replay_timer()(attempt) == 3.0
    assert ran == [1] and (x == 2.0**5).all()


# -- the option


def test_a_run_on_a_gpu_measures_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(tuning, "gpu_name", lambda: "H100")
    monkeypatch.setattr(tuning, "replay_timer", lambda: lambda run: 1.0)
    monkeypatch.setenv("HOME", str(tmp_path))
    command.measure_tiles(Config(tune="auto", device="cuda"))
    path = tmp_path / ".cache" / "palindrome" / "tiles.json"
    assert hooks.tuner.path == path and path.exists() and f"kept in {path}" in capsys.readouterr().out
    command.measure_tiles(Config(tune=str(tmp_path / "mine.json"), device="cuda"))
    assert hooks.tuner.path == tmp_path / "mine.json"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"--tune .*/file/tiles.json: .*; name a file that can be written, or auto"):
        command.measure_tiles(Config(tune=str(tmp_path / "file" / "tiles.json"), device="cuda"))


@pytest.mark.parametrize("device", ["cpu", "interpret"])
def test_without_a_gpu_nothing_is_measured_and_that_is_said(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.measure_tiles(Config(device=device))
    assert capsys.readouterr().out == ""
    command.measure_tiles(Config(tune="auto", device=device))
    assert hooks.tuner is None and f"this run computes on {device}" in capsys.readouterr().out
    assert main(["kernels", "--quick", "--tune", "auto", "--device", device]) == 2
    assert f"--tune auto with --device {device}: tiles are measured on a GPU" in capsys.readouterr().err


def test_a_benchmarks_workers_measure_for_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "gpu_name", lambda: "H100")
    monkeypatch.setattr(tuning, "replay_timer", lambda: lambda run: 1.0)
    made = OursOps(OpWork("interpret", "bf16", full=False, tune=str(tmp_path / "tiles.json")))
    made.run(made.inputs(("conv2d-minimal", "forward", 0)))
    assert len(hooks.tuner.kept) == 1
