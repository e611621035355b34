"""Every op at its real size where `--device` says, in all its precisions: forward and each gradient against torch in float64.

On a GPU torch computes the truth there, too: on a CPU it takes minutes at these sizes. With `--device interpret` the shapes are the
small ones of tests/cases.py; without `--device` two cheap ops, so that this is known to work.
"""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from autograd.fusion import Deferred
from benchmarks.race import LONGER_SUMS
from kernels.conv2d.geometry import Geometry
from kernels.device import get_device, to_host
from kernels.gpu.launch import hooks, recorded
from tests.cases import CASES, Case
from tests.harness import check_op
from tests.rounding import PRECISIONS

UNASKED = ("tanh-real", "lsgan_loss-real")
REAL = [case for case in CASES if case.full]


def at_real_size(case: Case) -> Case:
    return replace(case, label=f"{case.label} in full", shapes=case.full or case.shapes)


@pytest.mark.parametrize("precision", PRECISIONS["cuda"])
@pytest.mark.parametrize("case", REAL, ids=str)
def test_op_at_its_real_size(case: Case, precision: str, pytestconfig: pytest.Config) -> None:
    asked = pytestconfig.getoption("device")
    device = get_device(asked or "cpu")
    if precision not in PRECISIONS[device.name] or not (asked or str(case) in UNASKED):
        pytest.skip("by --device only")
    shown = case if device.name == "interpret" else at_real_size(case)
    check_op(shown, device, precision, longer=LONGER_SUMS)


@pytest.mark.parametrize("precision", PRECISIONS["cuda"])
def test_weight_gradients_that_share_a_launch_have_the_bits_of_each_alone(
    precision: str, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of four residual layers of two networks: in bfloat16 their tiles are wider then."""
    from kernels.conv2d.wgrad import wgrad

    device = get_device(pytestconfig.getoption("device") or "cpu")
    if device.name == "cpu":
        pytest.skip("by --device cuda or interpret only")
    monkeypatch.setattr(hooks, "matmul", "fp32" if precision == "fp32" else "tf32")
    size, channels = (64, 256) if device.name == "cuda" else (8, 16)
    dtype = ml_dtypes.bfloat16 if precision == "bf16" else np.float32
    rng, results = np.random.default_rng(0), []
    layers = [
        tuple(device.asarray(rng.standard_normal((4, side, side, channels), np.float32).astype(dtype)) for side in (size, size + 2))
        for _ in range(4)
    ]  # fmt: skip
    with recorded() as launches:
        for deferred in (Deferred(), None):
            how = dict(stack=2, halo=2, deferred=deferred)
            made = [wgrad(*layer, (3, 3), Geometry(1, 1, "reflect"), **how)[0] for layer in layers]
            if deferred is not None:
                deferred.finish()
            results.append(np.stack([to_host(dw) for dw in made]))
    assert [one.shapes.get("layers", (1,))[0] for one in launches if one.name == "conv2d._wgrad"] == [4, 1, 1, 1, 1]
    assert np.isfinite(results[0]).all() and np.array_equal(*results)


def test_every_op_has_a_real_size():
    assert {case.op for case in REAL} == {case.op for case in CASES}
