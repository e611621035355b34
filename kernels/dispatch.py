"""The one place that picks an implementation: by op name and device.

Every op has `reference.py`. `cpu.py` and `gpu.py` are there where they pay; without them the reference serves, slower
and just as correct.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from kernels.device import Array, Device

PREFERENCE: dict[str, tuple[str, ...]] = {
    "cpu": ("cpu", "reference"),
    "cuda": ("gpu", "reference"),
    "interpret": ("gpu", "reference"),
}


@functools.cache
def implementation(op: str, device: Device) -> ModuleType:
    """The module that computes `op` on `device`: `kernels.<op>.cpu`, `.gpu` or `.reference`."""
    for kind in PREFERENCE[device.name]:
        module = f"{__package__}.{op}.{kind}"
        if importlib.util.find_spec(module):
            return importlib.import_module(module)
    raise NotImplementedError(f"op {op!r} has no reference.py")


def for_weight(kernel: ModuleType, w: Array) -> Any:
    """What computes with w [R,S,C,K] or [G,R,S,C,K]: the module itself if it can, else one weight after the other."""
    if w.ndim == 4 or getattr(kernel, "STACKED", False):
        return kernel
    from kernels.conv2d.stacked import WeightByWeight

    return WeightByWeight(kernel)


@contextlib.contextmanager
def references() -> Iterator[None]:
    """Within this context the CPU computes by `reference.py` alone: plain NumPy, no compiler to load or to wait for."""
    before, PREFERENCE["cpu"] = PREFERENCE["cpu"], ("reference",)
    implementation.cache_clear()
    try:
        yield
    finally:
        PREFERENCE["cpu"] = before
        implementation.cache_clear()


def only_references() -> bool:
    """Whether the CPU computes by references alone now."""
    return PREFERENCE["cpu"] == ("reference",)
