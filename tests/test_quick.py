"""What `pytest -m quick` promises: see tests/quick.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quick import SLOW, NoCompiler


def test_every_slow_file_is_there() -> None:
    assert {path.name for path in Path(__file__).parent.rglob("test_*.py")} >= SLOW


def test_a_quick_test_cannot_load_the_compiler() -> None:
    NoCompiler().find_spec("numpy", None)
    with pytest.raises(pytest.fail.Exception, match=r"tests/quick\.py"):
        NoCompiler().find_spec("numba", None)


def test_quick_ones_run_on_references(pytestconfig: pytest.Config) -> None:
    from kernels.device import get_device
    from kernels.dispatch import implementation

    kind = "reference" if pytestconfig.getoption("markexpr") == "quick" else "cpu"
    assert implementation("conv2d", get_device("cpu")).__name__ == f"kernels.conv2d.{kind}"
