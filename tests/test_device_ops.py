"""Every op at its real size where `--device` says, in all its precisions: forward and each gradient against torch in float64.

On a GPU torch computes the truth there, too: on a CPU it takes minutes at these sizes. With `--device interpret` the shapes are the
small ones of tests/cases.py; without `--device` two cheap ops, so that this is known to work.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.race import LONGER_SUMS
from kernels.device import get_device
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


def test_every_op_has_a_real_size():
    assert {case.op for case in REAL} == {case.op for case in CASES}
