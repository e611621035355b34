"""`pytest -m quick`: the inner loop, within a minute on a machine that has compiled nothing yet.

Every test is quick but those that compile, interpret GPU kernels or train: the files below, and single tests marked `slow`.
Under `-m quick` ops run on their references and numba cannot be imported, so that a test which comes to compile fails and
says so. In the whole suite the same tests run on the CPU's kernels.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType

import pytest

from kernels import dispatch

SLOW = {
    "test_cpu_kernels.py", "test_executed.py", "test_roof.py", "test_gemm.py", "test_strips.py", "test_winograd.py",  # compile
    "test_compile_report.py", "test_tuning.py", "test_replays.py", "test_torch_graph.py", "test_first_run.py",
    "test_deferred.py", "test_engine_fusion.py", "test_epilogue.py", "test_graph.py", "test_stacked.py", "test_interpret_step.py",
    "test_device_steps.py",  # interpret
    "test_ablate.py", "test_augmented.py", "test_benchmarks.py", "test_comforts.py", "test_disk.py", "test_disks.py",  # train
    "test_doctor.py", "test_domain_distance.py", "test_evaluation.py", "test_lessons.py", "test_lessons_points.py", "test_lessons_step.py",
    "test_memory.py",
    "test_resume.py", "test_runs.py", "test_soak.py", "test_stops.py", "test_trouble.py",
    "test_adding_a_system.py", "test_crafted_npz.py", "test_crafted_pth.py", "test_crashes.py", "test_missing.py", "test_real_ranks.py",  # start other programs
    "test_explain_page.py", "test_report_page.py", "test_serve.py", "test_trackers.py", "test_wheel.py",
}  # fmt: skip


class NoCompiler(MetaPathFinder):
    """Instead of numba there is a failure."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "numba":
            pytest.fail("a quick test loads the CPU's compiler: mark it slow, or name its file in tests/quick.py")


class Quick:
    """The plugin: puts the mark on tests, and keeps what is slow away where only quick ones are asked for."""

    def __init__(self, config: pytest.Config) -> None:
        self.only = config.getoption("markexpr") == "quick"
        config.addinivalue_line("markers", "quick: nothing is compiled, interpreted or trained for long")
        config.addinivalue_line("markers", "slow: the opposite, in a file that is quick otherwise")
        if self.only:
            sys.meta_path.insert(0, NoCompiler())
            dispatch.PREFERENCE["cpu"] = ("reference",)

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if self.only and collection_path.name in SLOW else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if item.path.name not in SLOW and not item.get_closest_marker("slow"):
                item.add_marker("quick")
