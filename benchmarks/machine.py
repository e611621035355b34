"""What a number was measured on: versions, processor, commit, date; and what that machine can do at best.

The control is a fixed matrix product and a fixed copy. Run at both ends of a benchmark it tells whether the machine
drifted meanwhile; run for longer it gives the peaks that kernels are compared with.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = (
    "numpy",
    "torch",
    "numba",
    "scipy",
    "onnxruntime",
    "openvino",
    "ncnn",
    "triton",
    "cupy-cuda12x",
    "cupy-cuda13x",
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ROOT = Path(__file__).parent.parent
IN_REPOSITORY = (ROOT / "pyproject.toml").is_file()

GEMM = 1536  # side of the control's square matrices
COPY = 32 << 20  # bytes per core that the control copies: well beyond any cache


def describe(device: str = "cpu") -> dict[str, Any]:
    """Everything that a row records about where it was measured."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": cpu_name(),
        "cores": cores(),
        **({"gpu": gpu_name()} if device == "cuda" else {}),
        "python": platform.python_version(),
        "versions": versions(),
        "environment": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ},
    }


def versions() -> dict[str, str]:
    """Installed packages that matter for speed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """The processor, as the operating system calls it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return _ask("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or platform.machine()


def gpu_name() -> str:
    """The first GPU with its driver's version, or "" without one."""
    return _ask("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader").partition("\n")[0]


def results_folder(device: str) -> Path:
    """Where the tables of this machine's processor belong: benchmarks/results/<name>/, of the repository or, where it is installed
    and that would be among the packages, of the current folder."""
    name = gpu_name().partition(",")[0] if device == "cuda" else cpu_name()
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"
    return (ROOT if IN_REPOSITORY else Path.cwd()) / "benchmarks" / "results" / slug


def commit() -> str:
    """The commit that was measured, "+" where files differ from it; where it is installed, the package's version."""
    if not IN_REPOSITORY:
        return importlib.metadata.version("palindrome-gan")
    return _ask("git", "rev-parse", "--short", "HEAD") + ("+" if _ask("git", "status", "--porcelain", "-uno") else "")


def _ask(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=20, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def control(seconds: float = 0.5, device: str = "cpu", precision: str = "fp32", threads: int = 0) -> dict[str, float]:
    """The best of repeated fixed products (`gemm_gflops`) and copies (`copy_gbs`, bytes read plus written).

    The CPU multiplies float32, whatever the precision, and copies with so many threads (0: one for each core).
    """
    if device == "cuda":
        from benchmarks.gpu import control as on_gpu

        return on_gpu(seconds, precision)
    a = np.random.default_rng(0).standard_normal((GEMM, GEMM), np.float32)
    out = np.empty_like(a)
    gemm = 2 * GEMM**3 / best(lambda: np.matmul(a, a, out=out), seconds / 2)
    source = [np.ones(COPY, np.uint8) for _ in range(threads or cores())]
    target = [np.ones(COPY, np.uint8) for _ in source]
    with ThreadPoolExecutor(len(source)) as pool:  # one core alone cannot fill the memory bus
        copy = 2 * COPY * len(source) / best(lambda: list(pool.map(np.copyto, target, source)), seconds / 2)
    return {"gemm_gflops": gemm / 1e9, "copy_gbs": copy / 1e9}


def best(work: Callable[[], Any], seconds: float) -> float:
    """The shortest of as many runs as fit into `seconds`, at least three."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def drift(before: dict[str, float], after: dict[str, float]) -> str:
    """How the machine changed between two controls, in words."""
    change = {name: after[name] / before[name] - 1 for name in before}
    parts = [
        f"{label} {before[name]:.0f} -> {after[name]:.0f} {unit}"
        for name, label, unit in (("gemm_gflops", "product", "GFLOP/s"), ("copy_gbs", "copy", "GB/s"))
    ]
    steady = all(abs(c) <= 0.1 for c in change.values())
    return f"control: {', '.join(parts)}: " + ("steady" if steady else "THE MACHINE DRIFTED; trust only the ratios")
