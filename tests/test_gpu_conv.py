"""The GPU convolutions, in Triton's interpreter, against their references in float64.

Every case runs forward and backward twice, the second time with the programs of every launch shuffled, and both times
under the sanitiser: same bits, nothing written outside, all outputs written, inputs unchanged.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import pytest

from kernels.gpu.launch import recorded
from tests.sanitiser import Memory, sanitised, shuffled

Shape = tuple[int, ...]


@dataclass
class Case:
    """One op on random arrays: x, w and, where `third` is given, a bias [K] or a skip of the output's shape."""

    op: str
    label: str
    x: Shape
    w: Shape
    third: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.op}-{self.label}"

    def module(self, kind: str) -> Any:
        return importlib.import_module(f"kernels.{self.op}.{kind}")

    def arrays(self, dtype: Any = np.float32) -> list[np.ndarray | None]:
        """x, w, third, and the upstream gradient."""
        rng = np.random.default_rng(0)
        x, w = rng.normal(0.5, 1.5, self.x), rng.normal(0.02, 1, self.w) / np.sqrt(np.prod(self.w[:3]))
        y = self.module("reference").forward(x, w, None, **self.settings)
        y = y[0] if isinstance(y, tuple) else y
        third = rng.normal(size=y.shape if self.op == "conv_norm_relu" else y.shape[-1:]) if self.third else None
        return [a if a is None else a.astype(dtype) for a in (x, w, third, rng.normal(0.2, 1, y.shape))]


def both_ways(module: Any, case: Case, x: Any, w: Any, third: Any, dy: Any) -> list[np.ndarray]:
    """Outputs, then gradients."""
    result = module.forward(x, w, third, **case.settings)
    if case.op == "conv_norm_relu":
        return [*result, *module.backward(dy, x, w, *result[1:], **case.settings)]
    need = (True, True, case.third)
    return [result, *module.backward(dy, x, w, **case.settings, need=need)][: 3 + case.third]


@contextlib.contextmanager
def reads_inside(memory: Memory) -> Iterator[None]:
    """AssertionError at the first load from an address outside all arrays, even if what it gives is thrown away.

    A mirrored address carries no mask: only arithmetic keeps it inside.
    """
    from kernels.gpu.interpreter import Builder

    def checked(load: Any) -> Any:
        def check_and_load(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
            lanes = np.broadcast_to(getattr(mask, "data", True), pointers.data.shape)
            addresses = pointers.data[lanes].astype(np.int64)
            inside = np.zeros(addresses.shape, bool)
            for _, array, _ in memory.blocks:
                inside |= (addresses >= array.ctypes.data) & (addresses < array.ctypes.data + array.nbytes)
            assert inside.all(), "a kernel read outside its arrays"
            return load(self, pointers, mask, *rest)

        return check_and_load

    with mock.patch.object(Builder, "create_masked_load", checked(Builder.create_masked_load)):
        yield


REFLECT = dict(padding_mode="reflect")
CASES = [
    Case("conv2d", "minimal", (1, 1, 1, 1), (1, 1, 1, 1)),
    Case("conv2d", "whole-tiles", (1, 8, 8, 16), (3, 3, 16, 16), False, dict(padding=1, **REFLECT)),  # no masks at all
    Case("conv2d", "ragged", (2, 9, 7, 17), (3, 3, 17, 20), True, dict(stride=2, padding=1)),
    Case("conv2d", "stem", (1, 7, 8, 3), (7, 7, 3, 5), False, dict(padding=3, **REFLECT)),
    Case("conv2d", "head", (1, 5, 6, 16), (7, 7, 16, 3), True, dict(padding=3, **REFLECT)),
    Case("conv2d", "degenerate", (1, 3, 4, 2), (5, 5, 2, 3), False, dict(padding=2, **REFLECT)),  # pad = H-1
    Case("conv2d", "patch", (2, 6, 5, 16), (4, 4, 16, 1), True, dict(padding=1)),
    Case("conv2d", "both-margins", (2, 3, 2, 4), (3, 3, 4, 5), False, dict(padding=1, **REFLECT)),  # a pixel near both edges
    Case("conv2d", "small-kernel-reflect", (1, 5, 6, 3), (3, 2, 3, 4), True, dict(padding=2, **REFLECT)),
    Case("conv2d", "stride-2-reflect", (1, 7, 6, 3), (4, 4, 3, 4), True, dict(stride=2, padding=1, **REFLECT)),
    Case("conv2d", "oblong-kernel", (1, 5, 6, 2), (1, 3, 2, 70), False, dict(stride=3, padding=1)),  # phases without a tap
    Case("conv_transpose2d", "minimal", (1, 1, 1, 1), (3, 3, 1, 1)),
    Case("conv_transpose2d", "ragged", (2, 5, 4, 17), (3, 3, 17, 5), True),
    Case("conv_transpose2d", "whole-tiles", (1, 8, 8, 16), (3, 3, 16, 16)),
    Case("conv_transpose2d", "unet", (1, 3, 2, 7), (4, 4, 7, 4), True, dict(output_padding=0)),
    Case("conv_norm_relu", "residual", (1, 8, 16, 16), (3, 3, 16, 16), True, dict(padding=1, activation="none", **REFLECT)),
    Case("conv_norm_relu", "ragged", (2, 26, 25, 3), (3, 3, 3, 5), False, dict(padding=1, **REFLECT)),  # dw in runs
    Case("conv_norm_relu", "leaky", (2, 8, 6, 5), (4, 4, 5, 7), True, dict(stride=2, padding=1, activation="leaky_relu")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_the_reference_in_any_order(case):
    arrays = case.arrays()
    expected = both_ways(case.module("reference"), case, *(None if a is None else a.astype(np.float64) for a in arrays))
    runs = []
    for order in (iter, shuffled(0)):
        with sanitised(order) as memory:
            given = [None if a is None else memory.guarded(a) for a in arrays]
            with reads_inside(memory):
                runs.append(both_ways(case.module("gpu"), case, *given))
        for before, after in zip(arrays, given, strict=True):
            assert np.array_equal(before, after), "an input was changed"
    for i, (want, first, second) in enumerate(zip(expected, *runs, strict=True)):
        assert first.shape == want.shape
        assert first.tobytes() == second.tobytes(), f"result {i}: the order of programs changed it"
        assert (np.abs(first - want) <= 1e-5 * np.abs(want) + 5e-6 * np.abs(want).max()).all(), f"result {i}"


@pytest.mark.parametrize("case", [c for c in CASES if c.label in ("ragged", "whole-tiles", "residual")], ids=str)
def test_bfloat16_in_and_out(case):
    """Stored as bf16, added up in float32. A block's z is rounded once more between its launches, and so is dz."""
    import ml_dtypes

    arrays = case.arrays(ml_dtypes.bfloat16)
    expected = both_ways(case.module("reference"), case, *(None if a is None else a.astype(np.float64) for a in arrays))
    results = both_ways(case.module("gpu"), case, *arrays)
    images = (0, 1, 4) if case.op == "conv_norm_relu" else (0, 1)  # out, z, dx, or y, dx; else statistics, dw and db
    for i, (want, got) in enumerate(zip(expected, results, strict=True)):
        assert got.dtype == (ml_dtypes.bfloat16 if i in images else np.float32)
        error = np.abs(got.astype(np.float64) - want)
        if case.op == "conv_norm_relu":  # where rounding moves z across 0, relu's mask flips: rare, so look at the rest
            assert np.quantile(error / np.abs(want).max(), 0.98) <= 2e-2
        else:
            assert (error <= 2**-8 * np.abs(want) + 2e-5 * np.abs(want).max()).all() or case.settings.get(
                "padding_mode"
            )
            assert (error <= 2**-7 * np.abs(want).max()).all()


def test_only_what_is_needed_is_computed():
    case = next(c for c in CASES if str(c) == "conv2d-patch")
    gpu, (x, w, _, dy) = case.module("gpu"), case.arrays()
    every = gpu.backward(dy, x, w, **case.settings)
    for need in ((True, False, False), (False, True, False), (False, False, True), (False, False, False)):
        results = gpu.backward(dy, x, w, **case.settings, need=need)
        assert [r is not None for r in results] == list(need)
        for one, wanted in zip(results, every, strict=True):
            assert one is None or np.allclose(one, wanted, rtol=1e-5, atol=1e-5)
    with recorded() as launches:
        gpu.backward(dy, x, w, **case.settings, need=(False, False, False))
    assert not launches


def test_statistics_survive_a_large_mean():
    """z has mean 1000 and deviation 1: E[z^2] - E[z]^2 in float32 would be off by 9 %."""
    from kernels.conv2d.implicit_gemm import correlate
    from kernels.instance_norm.gpu import normalise

    x = np.random.default_rng(0).normal(1000, 1, (1, 11, 13, 1)).astype(np.float32)
    z, partials, tile = correlate(
        x, np.ones((1, 1, 1, 1), np.float32), None, (11, 13), stride=1, padding=0, statistics=True
    )
    _, mean, rstd = normalise(z, partials, tile, eps=0.0)
    exact = x.astype(np.float64)
    assert abs(mean[0, 0] / exact.mean() - 1) < 1e-7
    assert abs(float(rstd[0, 0]) ** -2 / exact.var() - 1) < 1e-5


def test_a_residual_block_at_full_size_takes_two_launches_forward_and_five_backward():
    """Counted, not run. 4.8 GFLOP each for y, dx and dw; forward moves x, w, z twice, skip, out and no padded picture."""
    import ml_dtypes

    from kernels.conv_norm_relu import gpu

    x, w = np.empty((1, 64, 64, 256), ml_dtypes.bfloat16), np.empty((3, 3, 256, 256), ml_dtypes.bfloat16)
    settings = dict(padding=1, activation="none", **REFLECT)
    with recorded(run=False) as forward:
        _, z, mean, rstd = gpu.forward(x, w, x, **settings)
    with recorded(run=False) as backward:
        gpu.backward(x, x, w, z, mean, rstd, **settings)
    assert (len(forward), len(backward)) == (2, 5)  # sums, dz, dx, dw in runs and their sum
    flops = 2 * x.size * 9 * 256
    assert [sum(launch.flops for launch in part) for part in (forward, backward)] == [flops, 2 * flops]
    assert sum(launch.bytes for launch in forward) < 1.05 * (5 * x.nbytes + w.nbytes)


def test_errors_name_the_op():
    from kernels.conv2d import gpu

    x, w = np.zeros((1, 4, 4, 2), np.float32), np.zeros((3, 3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="cannot be mirrored by 4"):
        gpu.forward(x, w, padding=4, padding_mode="reflect")
    with pytest.raises(ValueError, match="does not fit weight"):
        gpu.forward(x, w[:, :, :1])
    with pytest.raises(TypeError, match=r"float64.*float32"):
        gpu.forward(x.astype(np.float64), w.astype(np.float64))
