"""How much memory this process came to hold."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from kernels.device import Device


def peak_bytes(device: Device) -> int | None:
    """The most memory ever held for arrays of `device`, in bytes; None where the system does not tell (Windows).

    `cuda`   what CuPy's pool took from the GPU; the pool gives nothing back, so what it has is the most it had
    others   what the whole process had in main memory
    """
    if device.name == "cuda":
        return importlib.import_module("cupy").get_default_memory_pool().total_bytes()
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


def size_text(size: int) -> str:
    """Bytes for people, as in "3.4 GB"."""
    unit = next((u for u in ((1e9, "GB", 1), (1e6, "MB", 0)) if size >= u[0]), (1e3, "kB", 0))
    return f"{size / unit[0]:.{unit[2]}f} {unit[1]}"
