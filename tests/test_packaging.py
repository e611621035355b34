"""What the project says of its installation holds together: extras, lock files, Dockerfile, the README's commands."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SETUP = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")
EXTRAS: dict[str, list[str]] = SETUP["EXTRAS"]
MACHINES = [  # Python, system, processor
    (python, system, processor)
    for python in ("3.11", "3.12", "3.13", "3.14")
    for system, processor in (
        ("linux", "x86_64"),
        ("linux", "aarch64"),
        ("darwin", "arm64"),
        ("win32", "AMD64"),
    )
]
packaging = pytest.importorskip("packaging.requirements")  # comes with pytest


def environment(python: str, system: str, processor: str) -> dict[str, str]:
    names = {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}
    return {
        "python_version": python, "python_full_version": f"{python}.0", "sys_platform": system,
        "platform_machine": processor, "platform_system": names[system], "implementation_name": "cpython", "extra": "",
    }  # fmt: skip


def wanted(extra: str, machine: dict[str, str]) -> dict[str, Any]:
    """Distribution -> which versions, for one extra ("" for none) on one machine, as setup.py has it."""
    found = {}
    for line in [*SETUP["DEPENDENCIES"], *(EXTRAS[extra] if extra else ())]:
        requirement = packaging.Requirement(line)
        if requirement.marker and not requirement.marker.evaluate(machine):
            continue
        if requirement.name == PROJECT["name"]:
            for inner in requirement.extras:
                found |= wanted(inner, machine)
        else:
            found[re.sub(r"[-_.]+", "-", requirement.name).lower()] = requirement.specifier
    return found


def locked(name: str, machine: dict[str, str]) -> dict[str, str]:
    """Distribution -> version in a lock file, on one machine. Every one has hashes."""
    found: dict[str, str] = {}
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    for line, hashes in re.findall(
        r"^([a-z0-9][^\\\n]*) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE
    ):
        requirement = packaging.Requirement(line)
        assert hashes
        if requirement.marker is None or requirement.marker.evaluate(machine):
            assert requirement.name not in found, f"{requirement.name} twice on {machine}"
            found[requirement.name] = str(requirement.specifier).removeprefix("==")
    assert len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) == len(
        re.findall(r"^[a-z0-9].*==.*\\$", text, re.MULTILINE)
    )
    assert "://" not in text  # any index will do
    return found


@pytest.mark.parametrize(("name", "extra"), [("run", ""), ("test", "test"), ("cuda13", "cuda13")])
@pytest.mark.parametrize("machine", MACHINES, ids="-".join)
def test_a_lock_has_all_that_is_wanted_on_every_machine(name, extra, machine):
    where = environment(*machine)
    versions, wants = locked(name, where), wanted(extra, where)
    assert len(wants) >= 5
    wrong = {n: (v, versions.get(n)) for n, v in wants.items() if n not in versions or not v.contains(versions[n])}
    assert not wrong, "run make lock"


def test_what_is_made_for_linux_only_is_wanted_there_only():
    """CuPy and Triton; and the first clone's test command wants no CuPy anywhere."""
    for extra in EXTRAS:
        for machine in MACHINES:
            names = wanted(extra, environment(*machine))
            special = [n for n in names if n.startswith(("cupy", "triton"))]
            assert not special or machine[1] == "linux"
            assert extra != "test" or not [n for n in special if n.startswith("cupy")]
    assert {"cupy-cuda13x", "triton"} <= {*wanted("cuda13", environment("3.12", "linux", "x86_64"))}


def test_the_dockerfile_names_what_there_is():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    extras = re.findall(r"/clone\[([\w,]+)\]", text)
    assert extras and all(extra in EXTRAS for extra in extras[0].split(","))
    for source in re.findall(r"^COPY (\S+)", text, re.MULTILINE):
        assert (ROOT / source).exists(), source
    assert re.findall(r"-r /clone/(locks/\w+\.txt)", text) == re.findall(r"^COPY (locks/\S+)", text, re.MULTILINE)
    entry = re.search(r'^ENTRYPOINT \["(.+)"\]', text, re.MULTILINE)
    assert entry and entry.group(1) in PROJECT["scripts"]
    assert "gcc" in text and "python3-dev" in text  # Triton's launcher is C, built when it first runs
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.stem
)
def test_extras_that_pages_name_are_there(page):
    text = page.read_text(encoding="utf-8")
    named = [e for group in re.findall(r'"(?:\.|palindrome-gan)\[([\w,]+)\]"', text) for e in group.split(",")]
    assert not {*named} - {*EXTRAS}
