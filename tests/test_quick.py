"""What `pytest -m quick` promises: see tests/quick.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import mutants
from tests.mutants import Mutant, stale
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


def test_every_fault_of_the_table_can_still_be_put_in() -> None:
    """Whether tests find them takes hours to say: python -m tests.mutants."""
    assert [mutant for mutant in mutants.MUTANTS if stale(mutant, mutants.ROOT)] == []
    gone = Mutant("tests/quick.py", "a line that nobody wrote", "", "test_quick.py")
    assert stale(gone, mutants.ROOT) and stale(gone._replace(old="import"), mutants.ROOT)
    assert not stale(gone._replace(old="class NoCompiler("), mutants.ROOT)
    assert stale(gone._replace(old="class NoCompiler(", tests="test_gone.py -k it"), mutants.ROOT)
