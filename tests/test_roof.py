"""What a step is made of, as `python -m benchmarks roof` tells it: nothing is lost, and nothing stays changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import roof
from benchmarks.step import SIZES
from kernels.conv2d import winograd
from kernels.cpu.compiler import kernel
from kernels.cpu.gemm import COLS, LANES
from kernels.tanh import reference as tanh


def step(factor: float, products: float) -> dict[str, Any]:
    loops = {"conv2d.winograd._fprop": 0.5 * products + 0.1, "conv2d.direct._pack": 0.02, "instance_norm.cpu._sums": 0.05,
             "adam.cpu._update": 0.03, "leaky_relu.cpu._forward": 0.01, "tanh.reference.forward": 0.01}  # fmt: skip
    cpu = sum(loops.values()) + 0.04
    timed = {name: factor * seconds for name, seconds in loops.items()}
    return {"wall": factor * 0.4, "cpu": factor * cpu, "threads": 2, "loops": timed}


def test_the_parts_of_a_step_are_all_of_it() -> None:
    whole, without = [step(f, 1.0) for f in (1.0, 1.1, 0.9)], [step(f, 0.0) for f in (0.9, 1.0, 1.1)]
    row = roof.split(whole, without, executed=int(40e9), product_gflops=200.0)
    ms = {"products at the machine's best": 400.0, "products beyond that": 100.0, "transforms and copies": 120.0, "norm": 50.0,
          "Adam": 30.0, "other loops": 10.0, "formulas": 10.0, "Python": 40.0, "waiting": 40.0}  # fmt: skip
    assert row["ms"] == pytest.approx(ms) and list(ms) == list(roof.PARTS)
    assert sum(row["ms"].values()) == pytest.approx(roof.spent(row)) == pytest.approx(800.0)
    told = roof.show([{**row, "work": "64", "executed": int(40e9), "product_gflops": 200.0}])
    assert "100 GFLOP/s, 0.50 of the machine's best product" in told


def test_watching_times_each_loop_and_leaves_no_trace() -> None:
    before = winograd._fprop, tanh.forward
    contestant = roof.Watched(SIZES["quick"])
    _, seen = (contestant.run(contestant.inputs(key)) for key in range(2))  # the first one loads them
    assert (winograd._fprop, tanh.forward) == before
    assert {"conv2d.winograd._fprop", "conv2d.direct._fprop", "tanh.reference.forward"} <= seen["loops"].keys()
    assert any(name.startswith("adam.cpu.") for name in seen["loops"])
    assert 0 < sum(seen["loops"].values()) <= seen["cpu"]


def test_a_product_that_is_left_out_clears_what_it_would_set() -> None:
    multiply = roof.cleared()

    @kernel
    def run(m, n, c, add):
        multiply(m, n, 1, 1, c, 0, 0, 0, 0, c, 0, 0, 0, c, 0, 2 * COLS, add)

    c = np.ones((3, 2 * COLS), np.float32)
    run(2, COLS + 1, c.reshape(-1), True)
    assert c.all()
    run(2, COLS + 1, c.reshape(-1), False)
    assert not c[:2, : COLS + LANES].any() and c[:2, COLS + LANES :].all() and c[2].all()
