"""On a machine that lacks something, tests are skipped and say what installs it; with --complete they fail."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import device as devices
from tests import browser, missing
from train.cyclegan import main

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests import missing

missing.EXTRAS |= {"absent_one": "test", "absent_two": "dev"}


def pytest_addoption(parser):
    parser.addoption("--complete", action="store_true")


def pytest_configure(config):
    missing.complete = config.getoption("--complete")
    config.pluginmanager.register(missing.Skips())
"""
AT_THE_TOP = """
import absent_one.part


def test_never_reached():
    raise AssertionError
"""
INSIDE = """
import pytest

from train.errors import UserError


def test_here():
    pass


def test_imports():
    import absent_two


def test_is_told():
    try:
        import absent_two
    except ImportError as error:
        raise UserError("no exchange without it") from error


@pytest.fixture
def library():
    return __import__("absent_one")


def test_is_given(library):
    pass


def test_wrong():
    assert 1 == 2


def test_unknown():
    import absent_three
"""


def outcome(folder: Path, *options: str) -> tuple[dict[str, int], str]:
    """How many tests passed, failed, … in a pytest of its own, and all it said."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_top.py").write_text(AT_THE_TOP)
    (folder / "test_inside.py").write_text(INSIDE)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [*command, "--rootdir", str(folder), str(folder), *options],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.strip().splitlines()[-1]
    return {
        word.rstrip("s"): int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)", last)
    }, done.stdout


def test_what_lacks_a_library_is_skipped_and_says_what_installs_it(tmp_path):
    counts, said = outcome(tmp_path)
    assert counts == {"passed": 1, "failed": 2, "skipped": 4}, said
    assert 'absent_one is not installed: pip install -e ".[test]"' in said
    assert 'absent_two is not installed: pip install -e ".[dev]"' in said


def test_with_complete_nothing_is_skipped(tmp_path):
    counts, said = outcome(tmp_path, "--complete")
    assert counts == {"passed": 1, "failed": 4, "error": 2}, said


def test_without_a_browser_its_tests_are_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(browser, "CHROMIUM", None)
    monkeypatch.setattr(missing, "complete", False)
    with pytest.raises(pytest.skip.Exception, match=r"Chromium is not installed: (apt-get|brew) install"):
        browser.Browser(tmp_path)
    monkeypatch.setattr(missing, "complete", True)
    with pytest.raises(pytest.fail.Exception, match="Chromium is not installed"):
        browser.Browser(tmp_path)


def test_a_run_in_the_interpreter_without_triton_is_refused_in_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "_has_triton", lambda: False)
    devices.get_device.cache_clear()
    assert main(["--device", "interpret", "--max_steps", "1"]) == 2
    assert (
        "'interpret' cannot be used: Triton, which is made for Linux only, is not installed" in capsys.readouterr().err
    )
    assert devices.get_device("cpu").name == "cpu" and list(tmp_path.iterdir()) == []
    try:
        devices.get_device("interpret")
    except RuntimeError as error:
        monkeypatch.setattr(missing.importlib.util, "find_spec", lambda name: None)
        monkeypatch.delitem(sys.modules, "triton", raising=False)
        assert missing.reason(error)[0] == "triton"  # so a test on such a machine is skipped


def test_each_library_comes_with_the_extra_that_is_named():
    extras = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")["EXTRAS"]

    def brought(extra: str) -> set[str]:
        names = set()
        for line in extras[extra]:
            name, inner = re.match(r"([\w-]+)(?:\[([\w,]+)\])?", line).groups()
            names |= set.union(*map(brought, inner.split(","))) if name == "palindrome-gan" else {name}
        return names

    distribution = {
        "cupy": "cupy-cuda13x",
        "pillow_heif": "pillow-heif",
        "torch_fidelity": "torch-fidelity",
        "cleanfid": "clean-fid",
    }
    assert [n for n, extra in missing.EXTRAS.items() if distribution.get(n, n) not in brought(extra)] == []


IN_AN_IMAGE = {"torch", "triton", "cupy", "ml_dtypes"}  # for CUDA, as it is commonly had
HIDING = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec


class Finder:
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else find(name, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Finder()
"""


def test_no_file_stops_the_collection_where_extras_are_missing(tmp_path):
    """Those that name one, and what a new GPU is asked first."""
    hidden = {name for name in missing.EXTRAS if name not in IN_AN_IMAGE}
    (tmp_path / "hiding.py").write_text(f"HIDDEN = {hidden!r}\n{HIDING}")
    imports = re.compile(rf"^\s*(import|from) ({'|'.join(hidden)})\b", re.MULTILINE)
    files = [str(p) for p in (ROOT / "tests").rglob("test_*.py") if imports.search(p.read_text(encoding="utf-8"))]
    device = [
        str(ROOT / "tests" / f"test_{name}.py") for name in ("ops", "optim", "graph", "device_ops", "device_steps")
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "hiding", "-p", "no:cacheprovider", "--collect-only"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "PYTEST_ADDOPTS": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    done = subprocess.run(
        [*command, *files, *device], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and len(files) > 3, done.stdout[-2000:]
    assert all(f"{Path(name).name}: " in done.stdout for name in device)
