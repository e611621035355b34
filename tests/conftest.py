"""What all tests share: the device under test, and a torch that leaves the other core alone."""

from __future__ import annotations

import importlib.util
import zlib

import numpy as np
import pytest

from kernels.device import NAMES, Device, get_device
from kernels.gpu.launch import Hooks, hooks
from tests import missing, quick

if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)  # threads only get in each other's way on tensors this small
if importlib.util.find_spec("hypothesis"):
    from hypothesis import settings

    settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=60)
    settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", choices=NAMES, help="where to test (default: networks on cpu, ops on cpu and interpret)"
    )
    parser.addoption(
        "--complete", action="store_true", help="fail, rather than skip, where a library or Chromium is missing"
    )


def pytest_configure(config: pytest.Config) -> None:
    missing.complete = config.getoption("--complete")
    config.pluginmanager.register(missing.Skips())
    config.pluginmanager.register(quick.Quick(config))


@pytest.fixture
def device(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Device:
    """The device given by --device, multiplying float32 in full precision: tolerances are those of float32."""
    monkeypatch.setattr(hooks, "matmul", "fp32")
    return get_device(pytestconfig.getoption("device") or "cpu")


@pytest.fixture(autouse=True)
def _nothing_left_by_others(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module's generators start anew for each test, from its name. A model sets how matrices are multiplied; not for long."""
    monkeypatch.setattr(hooks, "matmul", Hooks().matmul)
    for name, value in vars(request.module).items() if request.module else ():
        if isinstance(value, np.random.Generator):
            monkeypatch.setattr(request.module, name, np.random.default_rng(zlib.crc32(request.node.name.encode())))
