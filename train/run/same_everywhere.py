"""Whether all ranks are about to train the same: one program, one configuration, one set of images, one state to go on from."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.run.pace import check_weights, refuse

if TYPE_CHECKING:
    from train.run.run_state import RunState

PACKAGES = ("kernels", "autograd", "nn", "train")
LIBRARIES = ("numpy", "numba", "llvmlite", "pillow", "cupy-cuda13x", "cupy-cuda12x", "triton")


def check_same(run: RunState) -> None:
    """UserError, on every rank, that names what differs from rank 0, and where."""
    group = run.group
    if group.size == 1:
        return
    told = group.gather((group.name, about(run)))
    wanted = told[0][1]
    for name, found in told:
        for key, value in found.items():
            if value != wanted[key]:
                refuse(
                    f"{name} has another {key} than rank 0: {value}, not {wanted[key]}; all ranks must train the same"
                )
    check_weights(group, run.model, run.step)


def about(run: RunState) -> dict[str, Any]:
    """What must be the same, by name."""
    settings = {f"--{name}": value for name, value in run.config.as_dict().items()}
    names = hashlib.sha256()
    for source in (run.dataset.a, run.dataset.b):
        for i in range(len(source)):
            names.update(source.name(i).encode(errors="surrogateescape") + b"\0")
    images = f"{' and '.join(map(str, run.images))} images, {names.hexdigest()[:8]}"
    installed = {f"version of {name}": installed_version(name) for name in LIBRARIES}
    place = {"place to go on from": (run.step, run.epoch, run.position)}
    return {
        "version of the program": code(),
        "Python": platform.python_version(),
        **installed,
        **settings,
        "data set": images,
        **place,
    }


def code() -> str:
    """A digest of this program's files."""
    root, digest = Path(__file__).parents[2], hashlib.sha256()
    for path in sorted(path for name in PACKAGES for path in (root / name).rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def installed_version(name: str) -> str:
    """Of a library; "none" where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
