"""Where compilers keep what they compiled. Where nothing can be written, as for a container's user without a home, they do without."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path


def can_write(folder: str | Path) -> bool:
    """Whether files can be put into a folder, which may have to be made. Not if its place depends on where a command was
    typed: "~/.cache" stays as it is for a user without a home."""
    folder = Path(folder)
    if not folder.is_absolute():
        return False
    there = next(f for f in (folder, *folder.parents) if f.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def can_keep_loops(file: str) -> bool:
    """Whether numba finds a folder for the compiled functions of a source file: one that it was told, the file's own, or the
    user's."""
    import numba
    from numba.misc.appdirs import AppDirs

    own, users = Path(file).parent / "__pycache__", AppDirs(appname="numba", appauthor=False).user_cache_dir
    told = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    return bool(told) or can_write(own) or can_write(users)


@functools.cache
def spare_gpu_caches() -> None:
    """To be called before CuPy and Triton compile. Both end a program that has no folder for what they compile."""
    cupy = os.environ.get("CUPY_CACHE_DIR", os.path.expanduser("~/.cupy/kernel_cache"))
    triton = os.environ.get("TRITON_CACHE_DIR") or os.path.join(
        os.environ.get("TRITON_HOME", os.path.expanduser("~")), ".triton", "cache"
    )
    spare = [name for name, folder in (("CuPy", cupy), ("Triton", triton)) if not can_write(folder)]
    if "CuPy" in spare:
        os.environ["CUPY_CACHE_IN_MEMORY"] = "1"
    if "Triton" in spare:
        os.environ["TRITON_CACHE_DIR"] = folder = tempfile.mkdtemp(prefix="palindrome-triton-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if spare:
        print(
            f"GPU kernels of {' and '.join(spare)} are compiled at every start: no folder can be written in which to keep them "
            "(CUPY_CACHE_DIR and TRITON_CACHE_DIR name others)",
            file=sys.stderr,
        )
