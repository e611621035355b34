"""CONTRIBUTING's recipe to the letter: in a copy of the repository an op is added, and the tests of all ops are run on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("autograd", "benchmarks", "kernels", "lessons", "nn", "tests", "train", "CONTRIBUTING.md", "pyproject.toml")


def follow(root: Path) -> None:
    """Do in `root` what the page says: write its files, put its entries ahead of those of tanh."""
    page = (root / "CONTRIBUTING.md").read_text("utf-8")
    section = page.partition("## Adding an op")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(?:python)?\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    names = re.findall(r"`(kernels/softplus/\w+\.py|autograd/ops/softplus\.py)`", section)
    assert (len(names), len(blocks)) == (3, 4)
    for name, text in zip(names, blocks, strict=False):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, "utf-8")
    entries = blocks[-1].splitlines()
    assert len(entries) == 9
    for entry in entries:
        name, what = entry.split(maxsplit=1)
        text = (root / name).read_text("utf-8")
        key = re.match(r"\W*(?:from autograd\.ops\.)?\W*(?:_five\(\")?softplus\b\W?", what)
        assert key, entry
        before = text.index(key[0].replace("softplus", "tanh"))
        gap = " " if text[before - 1] == " " and text[:before].rpartition("\n")[2].strip() else "\n"
        (root / name).write_text(text[:before] + what + gap + text[before:], "utf-8")


def judged(root: Path, chosen: str, *files: str) -> subprocess.CompletedProcess[str]:
    """What pytest says of the chosen tests in these files."""
    words = ["-p", "no:cacheprovider", "-v", "-x", "-k", chosen, *files]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(root)}
    environment.pop("PYTEST_ADDOPTS", None)
    line = [sys.executable, "-m", "pytest", *words]
    return subprocess.run(line, cwd=root, env=environment, check=False, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_page_as_it_stands(tmp_path: Path) -> None:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        else:
            shutil.copy(ROOT / name, tmp_path)
    follow(tmp_path)
    concerned = "softplus or five_labels or its_call_is_right or reached"
    done = judged(tmp_path, concerned, "tests/test_ops.py", "tests/test_engine_errors.py", "tests/test_lessons.py")
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) >= 25 and "failed" not in done.stdout

    # The harness looks at it: a backward with the wrong slope, and a forgotten entry, are named.
    kernel = tmp_path / "kernels" / "softplus" / "reference.py"
    kernel.write_text(kernel.read_text("utf-8").replace("0.5 + 0.5 *", "0.5 + 0.51 *"), "utf-8")
    done = judged(tmp_path, "softplus and cpu", "tests/test_ops.py")
    assert done.returncode == 1 and re.search(r"softplus-\w+: dx is wrong in \d+ of", done.stdout), done.stdout[-3000:]
    table = tmp_path / "tests" / "tolerances.py"
    table.write_text(table.read_text("utf-8").replace('"softplus": "elementwise",', ""), "utf-8")
    assert (
        "softplus has no kind in KINDS of tests/tolerances.py"
        in judged(tmp_path, "softplus and cpu", "tests/test_ops.py").stdout
    )
