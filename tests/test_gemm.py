"""The register tile and the small matrices in LLVM's words: every remainder of rows, columns and steps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from benchmarks.options import VECTORS
from kernels.cpu.compiler import OPTIONS, kernel
from kernels.cpu.gemm import COLS, DEPTH, LANES, ROWS, multiply, panels, whole
from kernels.cpu.linear import linear

ROOT = Path(__file__).parents[1]


@kernel
def product(m, n, outer, inner, a, a_at, a_row, a_outer, a_inner, b, b_at, b_panel, b_k, c, c_at, c_row, add):
    multiply(m, n, outer, inner, a, a_at, a_row, a_outer, a_inner, b, b_at, b_panel, b_k, c, c_at, c_row, add)


@pytest.mark.parametrize("m", [1, ROWS, ROWS + 1])
@pytest.mark.parametrize("n", [1, LANES, 2 * LANES + 1, 3 * LANES, COLS, COLS + 1])
@pytest.mark.parametrize("outer, inner", [(1, 1), (1, DEPTH + 3), (3, 5)])
def test_multiply_agrees_with_float64(m, n, outer, inner):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((whole(m, ROWS), outer, inner)), rng.standard_normal((outer * inner, n))
    a, b = a.astype(np.float32), b.astype(np.float32)
    c = np.full((whole(m, ROWS), whole(n, LANES) + 1), np.nan, np.float32)
    kept = c[:, whole(n, LANES) :].copy()
    settings = a.reshape(-1), 0, outer * inner, inner, 1, panels(b).reshape(-1), 0, outer * inner * COLS, COLS
    want = a[:m].reshape(m, -1).astype(float) @ b
    for times, add in ((1, False), (2, True)):
        product(m, n, outer, inner, *settings, c.reshape(-1), 0, c.shape[1], add)
        assert np.abs(c[:m, :n] - times * want).max() < 2e-5 * times
    assert np.array_equal(c[:, whole(n, LANES) :], kept, equal_nan=True)


def test_multiply_reads_a_turned_matrix():
    a, b = (np.random.default_rng(i).standard_normal((9, COLS)).astype(np.float32) for i in range(2))
    c = np.empty((whole(COLS, ROWS), COLS), np.float32)
    padded = np.append(a.reshape(-1), np.zeros(ROWS, np.float32))
    product(COLS, COLS, 1, 9, padded, 0, 1, 0, COLS, b.reshape(-1), 0, COLS, COLS, c.reshape(-1), 0, COLS, False)
    assert np.abs(c[:COLS] - a.T.astype(float) @ b).max() < 1e-5


@pytest.mark.parametrize("add", [False, True])
def test_linear_applies_its_matrix_to_runs(add):
    matrix = np.array([[1, 0, -2.5], [0, -1, 1], [0.5, 3, 0]])
    apply = linear(matrix, add)

    @kernel
    def run(x, y, count):
        apply(x, 0, count, y, 0, count, count)

    x, y = (np.random.default_rng(i).standard_normal((3, 2 * LANES)).astype(np.float32) for i in range(2))
    want = matrix @ x + (y if add else 0)
    run(x.reshape(-1), y.reshape(-1), 2 * LANES)
    assert np.abs(y - want).max() < 1e-5
    if not add:
        run(x.reshape(-1), x.reshape(-1), 2 * LANES)  # in place
        assert np.array_equal(x, y)


@pytest.mark.parametrize("bits", [*VECTORS, 0])
def test_vectors_are_those_of_the_processor_that_numba_compiles_for(bits):
    given = {name: value for name, value in os.environ.items() if bits == 0 or not name.startswith("NUMBA_CPU")}
    code = "from kernels.cpu.gemm import LANES, COLS; print(LANES, COLS)"
    command = [sys.executable, "-c", code]
    made = subprocess.run(
        command, env=given | VECTORS.get(bits, {}), capture_output=True, text=True, check=True, cwd=ROOT
    )
    lanes = bits // 32 or LANES
    assert made.stdout.split() == [str(lanes), str(lanes * (2 if lanes == 8 else 4))]


def test_no_vector_is_wider_than_the_processors():
    compiled, flat = njit(**OPTIONS)(multiply), np.zeros(ROWS * COLS, np.float32)
    compiled(1, 1, 1, 1, flat, 0, 1, 1, 1, flat, 0, COLS, COLS, flat, 0, COLS, False)
    (code,) = compiled.inspect_asm().values()
    used = [lanes for register, lanes in {"xmm": 4, "ymm": 8, "zmm": 16}.items() if f"%{register}" in code]
    assert not used or max(used) == LANES  # none has such a name but on x86
