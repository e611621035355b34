"""The executed multiplications that benchmarks show, held to layers worked out by hand and to the tiles of the product itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.executed import Call, ForwardCount, StepCount, counting, of_ops
from benchmarks.step import SIZES
from kernels.conv2d import cpu, winograd
from kernels.conv2d.geometry import Geometry, TransposedGeometry
from kernels.cpu import gemm
from kernels.cpu.gemm import LANES, ROWS
from nn.trace import traced

SAME = Geometry(padding=1, padding_mode="reflect")


def whole(n: int, step: int) -> int:
    return -(-n // step) * step


def count(kernel: str, x: Any, w: Any, y: Any, geometry: Any, need: tuple[bool, ...] = ()) -> int:
    with counting() as products:
        Call(kernel, "backward" if need else "forward", x, w, None, y, geometry, need).run()
    return sum(products)


@pytest.mark.parametrize(
    "m, n, outer, inner", [(1, 1, 1, 1), (6, 16, 1, 64), (7, 3 * LANES, 1, 130), (13, 5 * LANES + 1, 4, 9)]
)
def test_a_product_counts_for_the_tiles_that_it_computes(
    monkeypatch: Any, m: int, n: int, outer: int, inner: int
) -> None:
    tiles: list[int] = []
    for vectors in (4, 2, 1):
        note = lambda *a, vectors=vectors: tiles.append(2 * ROWS * vectors * LANES * a[5] * a[6])
        monkeypatch.setattr(gemm, f"_tile{vectors}", note)
    gemm.multiply(m, n, outer, inner, *[0] * 12, False)
    with counting() as products:
        gemm.multiply(m, n, outer, inner)
    assert sum(products) == sum(tiles) == 2 * whole(m, ROWS) * whole(n, LANES) * outer * inner


def test_a_layer_of_winograd() -> None:
    x, w, y = (1, 8, 12, 32), (3, 3, 32, 48), (1, 8, 12, 48)
    tiles = 6  # of 4x4 outputs, and a whole number of rows
    assert winograd.suits(w, 1, *y[:3])
    assert count("conv2d", x, w, y, SAME) == 2 * 36 * tiles * 32 * 48
    assert count("conv2d", x, w, y, SAME, (True, False)) == 2 * 36 * tiles * 48 * 32
    assert count("conv2d", x, w, y, SAME, (False, True)) == 2 * 36 * whole(32, ROWS) * 48 * tiles


def test_a_layer_of_winograd_at_stride_two_leaves_out_what_meets_only_zeros() -> None:
    x, w, y, geometry = (1, 40, 60, 32), (3, 3, 32, 32), (1, 20, 30, 32), Geometry(stride=2, padding=1)
    tiles = 24  # of 5x5 outputs; along each axis 11 of 12 elements are left, for the odd parity lacks a tap
    assert winograd.suits(w, 2, *y[:3])
    assert count("conv2d", x, w, y, geometry) == 2 * tiles * 32 * 36 * 4 * 32 * 121 // 144
    transposed = count("conv_transpose2d", y, w, x, TransposedGeometry(), (True, False))
    assert transposed == count("conv2d", x, w, y, geometry)  # its input's gradient is the same convolution


def test_a_direct_layer() -> None:
    x, w, y = (1, 20, 20, 3), (7, 7, 3, 64), (1, 14, 14, 64)
    assert count("conv2d", x, w, y, Geometry()) == 2 * 14 * whole(14, ROWS) * 7 * 7 * 3 * 64


def test_the_count_follows_the_decision(monkeypatch: Any) -> None:
    x, w, y = (1, 8, 12, 32), (3, 3, 32, 48), (1, 8, 12, 48)
    monkeypatch.setattr(winograd, "suits", lambda *shape: False)
    assert count("conv2d", x, w, y, SAME) == 2 * 8 * 12 * 9 * 32 * 48


def test_counting_leaves_everything_as_it_was() -> None:
    before, empty = {name: vars(winograd)[name] for name in ("multiply", "_fprop", "_scatter")}, np.empty
    with counting():
        assert winograd.multiply is not before["multiply"]
    assert {name: vars(winograd)[name] for name in before} == before and np.empty is empty
    assert cpu.winograd.multiply is gemm.multiply


def test_the_ops_of_a_step_have_all_its_products() -> None:
    contestant = StepCount(SIZES["quick"])
    with traced() as trace:
        total = contestant.run(contestant.inputs(0))
    ops = of_ops(trace.ops)
    assert sum(map(sum, ops)) == total > 1e6
    assert [name for name in {op.name for op, (forward, _) in zip(trace.ops, ops, strict=True) if forward}]
    forward = ForwardCount(SIZES["quick"])
    assert 0 < forward.run(forward.inputs(0)) < total
