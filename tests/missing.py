"""What this machine lacks: tests that need it are skipped, with the line that installs it. With `--complete` they fail."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Generator
from typing import Any, NoReturn

import pytest

EXTRAS = {  # what tests import beyond pytest itself -> the extra that brings it
    **dict.fromkeys(("torch", "triton", "ml_dtypes", "scipy", "hypothesis"), "test"),
    **dict.fromkeys(
        ("argcomplete", "pyvips", "safetensors", "onnx", "onnxruntime", "pillow_heif", "tensorboardX"), "test"
    ),
    "mpi4py": "mpi",
    **dict.fromkeys(("cupy", "torch_fidelity", "torchvision", "cleanfid"), "dev"),
}
LINUX_ONLY = ("cupy", "triton")
complete = False  # --complete: nothing may be missing, as where main is guarded


def lacking(what: str, cure: str) -> NoReturn:
    """Skip the test that runs, or fail it with --complete."""
    (pytest.fail if complete else pytest.skip)(f"{what} is not installed: {cure}")


def reason(error: BaseException | None) -> tuple[str, str] | None:
    """The library for want of which `error` was raised and what installs it; None if it is another error, or it is there."""
    while error is not None:
        name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if name in EXTRAS and name not in sys.modules and importlib.util.find_spec(name) is None:
            if name in LINUX_ONLY and sys.platform != "linux":
                return name, "it is made for Linux only"
            return name, f'pip install -e ".[{EXTRAS[name]}]"'
        error = error.__cause__ or error.__context__
    return None


class Skips:
    """The plugin: a test file whose imports lack one of the libraries above, and a test that comes to need one."""

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, Any, Any]:
        report = yield
        error = getattr(report, "call", None) and report.call.excinfo
        why = reason(error.value) if error and not complete else None
        if why:
            report.outcome, report.longrepr = (
                "skipped",
                (str(report.fspath), None, "{} is not installed: {}".format(*why)),
            )
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None, Any, Any]:
        return (yield from self._watched())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, Any, Any]:
        return (yield from self._watched())

    def _watched(self) -> Generator[None, Any, Any]:
        try:
            return (yield)
        except Exception as error:
            if why := reason(error):
                lacking(*why)
            raise
