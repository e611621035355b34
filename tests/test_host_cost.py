"""What Python does for a launch: Triton's real launching code, up to a driver that launches nothing."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from triton.backends.compiler import GPUTarget

from benchmarks import host_cost
from benchmarks.__main__ import main
from benchmarks.idle_driver import cache_key, cupy_arrays, followed, idle
from benchmarks.recording import record_step
from kernels.gpu.launch import Launch, cdiv, recorded
from kernels.tanh import gpu as tanh
from train.config.settings import Config

SMALL = Config(crop_size=64, ngf=16, ndf=16, n_blocks=1)


def keys(found: list[tuple[Launch, Any]]) -> tuple[list[str], list[str]]:
    """Under which Triton keeps each different kernel: compiled ahead from its description, and when it is launched."""
    different = {launch.key: (launch, kernel) for launch, kernel in found}.values()
    ahead = [cache_key(launch.source(), GPUTarget("cuda", 90, 32), launch.options) for launch, _ in different]
    return ahead, [kernel.key for _, kernel in different]


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_what_is_compiled_ahead_is_what_a_launch_looks_for(precision: str) -> None:
    """Else compile_report would warm no cache, and a first step compile a hundred kernels one after the other."""
    with followed() as found:
        step = record_step(precision, SMALL)
        x = np.zeros(40, np.float32)[1:33]  # 4 bytes behind a multiple of 16
        with recorded(run=False):
            tanh.forward(x)
    ahead, launched = keys(found)
    assert len(found) > len(step.launches) > 100 and len(set(ahead)) > 40
    assert ahead == launched
    assert any("x" not in launch.divisible for launch, _ in found if launch.name == "tanh._forward")


def test_a_key_knows_what_a_launch_is_given() -> None:
    """So equal ones above mean something: without what Triton notes of arguments that are no multiples of 16 they differ."""
    x = np.zeros(40, np.float32)
    with followed() as found, recorded(run=False):
        for given in (x[:32], x[1:33], x[:30]):
            tanh.forward(given)
    ahead, launched = keys(found)
    assert ahead == launched and len(set(ahead)) == 3


def test_no_launch_asks_numpy_for_words_or_looks_for_tiles_that_nobody_measures() -> None:
    """A dtype's name takes NumPy 1 to 3 µs, and was asked for 46 times in a block forward and backward."""
    called: Counter[str] = Counter()

    def watch(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            called[f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"] += 1

    with idle(), cupy_arrays():
        *_, block = host_cost.calls().values()
        block()
        sys.setprofile(watch)
        try:
            block()
        finally:
            sys.setprofile(None)
    assert called["launch.py:launch"] == 6 and called["jit.py:run"] == 6
    assert not called["_dtype.py:__str__"] and not called["implicit_gemm.py:candidates"]


def test_kernels_prepared_for_a_gpu_that_is_not_there_are_forgotten() -> None:
    kernels = []
    for _ in range(2):
        with idle(), cupy_arrays(), pytest.MonkeyPatch.context() as patch:
            import cupy

            patch.setattr("kernels.gpu.launch.hooks.compiled", kernels.append)
            tanh.forward(cupy.empty(64, np.float32))
    assert kernels[0] is not kernels[1] and kernels[0].key == kernels[1].key


def test_the_command_says_what_a_launch_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["host_cost", "--quick", "--json", str(tmp_path / "rows.json")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["launches"] for row in rows] == [1, 1, 1, 6] and all(row["seconds"] > 0 for row in rows)
    assert "| tanh, one kernel " in capsys.readouterr().out
    assert (cdiv(7, 2), cdiv(8, 2), cdiv(0, 3)) == (4, 4, 0)
