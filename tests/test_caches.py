"""A user without a home, and a tree that cannot be written, as in containers: kernels are compiled at every start, and it is told."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernels import caches

ROOT = Path(__file__).resolve().parents[1]
STRANGER = 61234  # a user id that nobody has
AS_STRANGER = """
import os, sys
os.setgroups([])
os.setgid({0})
os.setuid({0})
os.chdir(sys.argv[1])
os.execve({1!r}, [{1!r}, *sys.argv[2:]], {2!r})
"""
LOOPS = """
import numpy as np
from kernels.leaky_relu import cpu, reference
x = np.linspace(-1, 1, 300_000, dtype=np.float32)
assert np.allclose(cpu.forward(x, slope=0.2), reference.forward(x, slope=0.2))
"""


def as_stranger(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python's answer to another user, who has no home and may write in none of our folders."""
    if not hasattr(os, "setuid") or os.geteuid() != 0:
        pytest.skip("only root may become another user")
    sites = [p for p in sys.path if p.endswith("-packages")]
    env = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sites]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        program = AS_STRANGER.format(STRANGER, python, env)

        def run(*words: str, program: str = program) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", program, str(where), *words]
            return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)

        if run("-c", "import numba, PIL, kernels.caches").returncode == 0:
            return run(*arguments)
    pytest.skip("another user may not read this Python, its packages or this folder")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that every user may reach; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.slow
@pytest.mark.parametrize("writable", [False, True])
def test_loops_for_a_user_without_a_home(open_folder: Path, writable: bool) -> None:
    """Also where the current folder can be written, in which numba would make one called ~."""
    open_folder.chmod(0o777 if writable else 0o755)
    done = as_stranger(open_folder, "-c", LOOPS)
    assert done.returncode == 0, done.stderr
    assert (
        done.stderr.count("compiling CPU kernels, at every start, for no folder can be written in which to keep them")
        == 1
    )
    assert not list(open_folder.iterdir())


@pytest.mark.slow
def test_triton_for_a_user_without_a_home(open_folder: Path) -> None:
    """Its compiler writes into a folder that is gone afterwards."""
    pytest.importorskip("triton")
    compiles = """
import os, triton, triton.language as tl
from triton.compiler import ASTSource
from triton.backends.compiler import GPUTarget
from kernels.caches import spare_gpu_caches
from kernels.cast.gpu import _cast
spare_gpu_caches()
spare_gpu_caches()
print(os.environ["TRITON_CACHE_DIR"], os.environ["CUPY_CACHE_IN_MEMORY"])
signature = {name: "*fp32" for name in _cast.arg_names[:2]} | {_cast.arg_names[2]: "i32", _cast.arg_names[3]: "constexpr"}
made = triton.compile(ASTSource(_cast, signature, {(3,): 1024}), target=GPUTarget("cuda", 90, 32))
assert made.asm["cubin"] and os.listdir(os.environ["TRITON_CACHE_DIR"])
"""
    done = as_stranger(open_folder, "-c", compiles)
    assert done.returncode == 0, done.stderr
    folder, in_memory = done.stdout.split()
    assert in_memory == "1" and not Path(folder).exists() and not list(open_folder.iterdir())
    assert done.stderr.count("GPU kernels of CuPy and Triton are compiled at every start") == 1


def test_where_files_can_be_put(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert caches.can_write(tmp_path) and caches.can_write(tmp_path / "a" / "b")
    assert (
        not caches.can_write(tmp_path / "file" / "x") and not caches.can_write("~/.cache") and not caches.can_write(".")
    )


def test_those_that_can_be_written_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CUPY_CACHE_DIR", "TRITON_CACHE_DIR", "TRITON_HOME", "CUPY_CACHE_IN_MEMORY"):
        monkeypatch.delenv(name, raising=False)
    caches.spare_gpu_caches.__wrapped__()
    assert not {"TRITON_CACHE_DIR", "CUPY_CACHE_IN_MEMORY"} & os.environ.keys() and capsys.readouterr().err == ""
    assert not list(tmp_path.iterdir())
