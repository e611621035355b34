"""Where arrays live, which array library computes on them, and how much memory they came to take.

`cpu`        NumPy arrays.
`cuda`       CuPy arrays; Triton kernels.
`interpret`  NumPy arrays; the same Triton kernels, run by Triton's interpreter. Slow; proves the GPU code anywhere.

CuPy is imported on first use, so that a machine without CUDA can import everything.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""A NumPy or a CuPy array."""

NAMES = ("cpu", "cuda", "interpret")


@dataclass(frozen=True)
class Device:
    """A place to compute: its name and its array library `xp`."""

    name: str

    @property
    def xp(self) -> ModuleType:
        """NumPy, or CuPy on `cuda`."""
        return importlib.import_module("cupy") if self.name == "cuda" else np

    def asarray(self, data: Any, dtype: Any = None) -> Array:
        """`data` as an array of this device, copied only where it must be."""
        if self.name == "cpu" and captured and captured[-1].runs:
            return captured[-1].asarray(data, dtype)
        return self.xp.asarray(data, dtype=dtype)

    def __str__(self) -> str:
        return self.name


@functools.cache
def get_device(name: str = "auto") -> Device:
    """The device of that name; `auto` is `cuda` where there is a usable GPU and CuPy, else `cpu`.

    Raises ValueError for an unknown name and RuntimeError for `cuda` without CuPy, Triton or a GPU, `interpret` without Triton.
    """
    if name == "auto":
        return Device("cuda" if _why_no_cuda() is None and _has_triton() else "cpu")
    if name not in NAMES:
        raise ValueError(f"unknown device {name!r}; wanted auto, {', '.join(NAMES)}")
    if name == "cuda" and (reason := _why_no_cuda()):
        raise RuntimeError(f"device 'cuda' cannot be used: {reason}; use --device cpu, or mend that")
    if name != "cpu" and not _has_triton():
        absent = ModuleNotFoundError("No module named 'triton'", name="triton")
        raise RuntimeError(
            f"device {name!r} cannot be used: Triton, which is made for Linux only, is not installed "
            "(pip install 'triton>=3.6,<3.10'); use --device cpu, or mend that"
        ) from absent
    return Device(name)


def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _why_no_cuda() -> str | None:
    try:
        cupy = importlib.import_module("cupy")
        cupy.cuda.runtime.getDeviceCount  # noqa: B018  a folder that happens to be called cupy has none
    except (ImportError, AttributeError):
        return 'CuPy is not installed (pip install -e ".[cuda13]" or ".[cuda12]")'
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CUDA reports {error}"
    if not count:
        return "no GPU was found"
    from kernels.caches import spare_gpu_caches

    spare_gpu_caches()
    return None


def xp_of(array: Array) -> ModuleType:
    """The array library that `array` belongs to."""
    return np if isinstance(array, np.ndarray | np.generic) else sys.modules["cupy"]


def to_host(array: Array) -> np.ndarray:
    """A NumPy copy of `array` (the array itself if it is NumPy's)."""
    if captured and captured[-1].runs:
        captured[-1].looked()
    return array if isinstance(array, np.ndarray) else np.asarray(array.get() if hasattr(array, "get") else array)


def address(array: Array) -> int:
    """Where the array's first element lies, on its device."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


captured: list[
    Any
] = []  # the graph that is being captured, if there is one: kernels/gpu/cuda_graph.py, kernels/cpu/recording.py


@contextlib.contextmanager
def capture_in(graph: Any) -> Iterator[None]:
    """Within this context `graph` is being captured."""
    captured.append(graph)
    try:
        yield
    finally:
        captured.pop()


def capturing() -> bool:
    """Whether a graph is being captured whose kernels do not run now, so that no value on the device may be looked at."""
    return bool(captured) and not captured[-1].runs


def from_host(device: Device, make: Callable[[], Array]) -> Array:
    """What `make` gives, on the device; where a graph is captured, it is made anew for each replay, in the same shape."""
    return captured[-1].fed(make) if captured else device.asarray(make())


def repeated(action: Callable[[], Any]) -> None:
    """Do now what concerns the host alone, and where a graph is captured again for each replay, in the order of the step."""
    if captured:
        captured[-1].again(action)
    else:
        action()


_others: weakref.WeakKeyDictionary[Any, Any] = (
    weakref.WeakKeyDictionary()
)  # memory pools beside CuPy's own, by their owner
_most = 0  # bytes, as last noted


def count_pool(owner: Any, pool: Any) -> None:
    """Count another memory pool of CuPy's among `peak_bytes`, for as long as its owner lives."""
    _others[owner] = pool


def note_peak() -> int:
    """The most bytes that CuPy's pools have held so far; call it before any is given back."""
    global _most
    own = importlib.import_module("cupy").get_default_memory_pool()
    _most = max(_most, own.total_bytes() + sum(pool.total_bytes() for pool in _others.values()))
    return _most


def peak_bytes(device: Device) -> int | None:
    """The most memory ever held for arrays of `device`, in bytes; None where the system does not tell (Windows).

    `cuda`   what CuPy's pool and those of CUDA graphs took from the GPU
    others   what the whole process had in main memory
    """
    if device.name == "cuda":
        return note_peak()
    try:
        # Not ru_maxrss: Linux starts it at what the parent held when it started this process.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        resource = importlib.import_module("resource")
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
