"""Every op on every case: see tests/harness.py for what is asked of it, tests/cases.py for what it is asked on."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import kernels
from autograd import Tensor, ops
from kernels import dispatch
from kernels.device import Device, get_device, to_host
from tests.cases import ADAM, CASES, LABELS
from tests.harness import check_op
from tests.rounding import PRECISIONS
from tests.tolerances import KINDS, kind
from tests.torch_ops import TORCH

FOLDERS = {path.parent.name for path in Path(kernels.__path__[0]).glob("*/reference.py")}
WITHOUT_GRADIENT = {"adam", "cast", "clip_grad_norm", "ema", "image_pool"}
ACCELERATED = {op for op in FOLDERS if importlib.util.find_spec(f"kernels.{op}.cpu")}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What takes a `where` runs on the CPU and on the interpreted GPU, or on the device asked for; in all its precisions.

    tf32 is a way to multiply matrices. The interpreter has none of its own, so there a few cases prove the bound.
    """
    if "where" in metafunc.fixturenames:
        asked = metafunc.config.getoption("device")
        slow = {"cpu": (), "interpret": pytest.mark.slow, "cuda": ()}
        tries = [
            pytest.param(case, get_device(name), precision, id=f"{case}-{name}-{precision}", marks=slow[name])
            for name in ([asked] if asked else ["cpu", "interpret"])
            for precision in PRECISIONS[name]
            for case in CASES
            if precision != "tf32" or (kind(case.op) == "gemm" and (name == "cuda" or case.label == "ragged"))
        ]
        metafunc.parametrize(("case", "where", "precision"), tries)


def test_op_agrees_with_torch(case, where, precision):
    check_op(case, where, precision)


@pytest.mark.parametrize("precision", PRECISIONS["cpu"])
@pytest.mark.parametrize("case", [case for case in CASES if case.op in ACCELERATED], ids=str)
def test_reference_behind_the_cpu_code_agrees_with_torch(case, precision, monkeypatch):
    monkeypatch.setattr(dispatch, "PREFERENCE", dict.fromkeys(dispatch.PREFERENCE, ("reference",)))
    dispatch.implementation.cache_clear()
    try:
        assert dispatch.implementation(case.op, Device("cpu")).__name__ == f"kernels.{case.op}.reference"
        check_op(case, Device("cpu"), precision)
    finally:
        dispatch.implementation.cache_clear()


def test_every_op_is_tried_on_the_five_labels():
    assert {case.op for case in CASES} == FOLDERS - WITHOUT_GRADIENT == set(TORCH) == set(KINDS)
    for op in {case.op for case in (*CASES, *ADAM)}:
        cases = [case for case in (*CASES, *ADAM) if case.op == op]
        labels = [case.label for case in cases]
        assert set(LABELS) <= set(labels) and len(labels) == len(set(labels)), op
        assert all(case.strided for case in cases if case.label == "non-contiguous")
        assert all(case.full for case in cases if case.label == "real")


def test_cases_are_data_without_torch_or_pytest():
    tree = ast.parse((Path(__file__).parent / "cases.py").read_text(encoding="utf-8"))
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    assert modules == {"__future__", "zlib", "dataclasses", "typing", "numpy"}


@pytest.mark.parametrize("op", sorted(FOLDERS - WITHOUT_GRADIENT))
def test_documented_shapes_are_in_the_contract(op):
    """Each folder says its maths and what it saves; each op has a line of its own."""
    contract = importlib.import_module(f"kernels.{op}").__doc__ or ""
    assert re.search(r"\b[Ss]aves\b", contract)
    assert getattr(ops, op).__doc__


def t(*shape, dtype="float32"):
    return Tensor(np.ones(shape, dtype))


REFUSALS = {
    r"conv2d: w has shape .* wanted \[R,S,C,K\] with C = 3, as in x": lambda: ops.conv2d(t(1, 5, 5, 3), t(3, 3, 2, 4)),
    "conv2d: x is float32 but w is float64": lambda: ops.conv2d(t(1, 5, 5, 2), t(3, 3, 2, 4, dtype="float64")),
    "conv2d: a picture of 2x5 .* smaller than the 3x3 kernel": lambda: ops.conv2d(t(1, 2, 5, 2), t(3, 3, 2, 4)),
    "conv2d: a picture of 3x9 cannot be mirrored by 3": lambda: ops.conv2d(
        t(1, 3, 9, 2), t(7, 7, 2, 4), padding=3, padding_mode="reflect"
    ),
    "conv2d: stride 0 and padding 1; wanted at least 1 and": lambda: ops.conv2d(
        t(1, 5, 5, 2), t(3, 3, 2, 4), stride=0, padding=1
    ),
    "conv_transpose2d: stride 2 and padding -1; wanted": lambda: ops.conv_transpose2d(
        t(1, 5, 5, 2), t(3, 3, 2, 4), padding=-1
    ),
    "conv_norm_relu: w has shape .* with C = 3": lambda: ops.conv_norm_relu(t(1, 5, 5, 3), t(3, 3, 2, 4)),
    "conv_transpose2d: w has shape .* with C = 3": lambda: ops.conv_transpose2d(t(1, 5, 5, 3), t(3, 3, 2, 4)),
    "conv_transpose2d: x is float32 but w is float64": lambda: ops.conv_transpose2d(
        t(1, 5, 5, 2), t(3, 3, 2, 4, dtype="float64")
    ),
    "conv_transpose2d: output_padding 2 must be smaller than stride 2": lambda: ops.conv_transpose2d(
        t(1, 5, 5, 2), t(3, 3, 2, 4), output_padding=2
    ),
    "reflection_pad: a picture of 4x2 .* both sides must be larger than 2": lambda: ops.reflection_pad(
        t(1, 4, 2, 1), 2
    ),
    r"l1_loss: y has shape \(2, 4\), wanted \(2, 3\) as x has it": lambda: ops.l1_loss(t(2, 3), t(2, 4)),
    "resize: unknown mode 'cubic'; wanted nearest or bilinear": lambda: ops.resize(t(1, 2, 2, 1), (4, 4), "cubic"),
    "getitem: index .* numbers and slices": lambda: t(3)[[0, 0]],
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_does_not_fit_is_refused_by_name(message):
    with pytest.raises((ValueError, TypeError), match=message):
        REFUSALS[message]()


def test_cast_rounds_to_nearest_and_gives_each_side_its_own_precision(device):
    x = Tensor(
        np.array([1.0, 1 + 2**-9, 1 + 2**-8, 1 + 3 * 2**-9, -3e38], np.float32), requires_grad=True, device=device
    )
    y = ops.cast(x, np.dtype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(y.numpy().astype("float32"), x.numpy().astype(ml_dtypes.bfloat16).astype("float32"))
    assert y.dtype.name == "bfloat16" and ops.cast(x, x.dtype) is x
    y.backward(np.full(5, 0.5))
    assert x.grad.dtype == np.float32 and (to_host(x.grad) == 0.5).all()
