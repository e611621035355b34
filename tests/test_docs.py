"""The pages in docs/: their code runs and prints what they show, and their links lead somewhere."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import re
from pathlib import Path

import pytest

from kernels.gpu import launch
from train.config import habits, options

ROOT = Path(__file__).parents[1]
WITH_CODE = ("double_backward", "engine", "fused_conv", "practice", "reductions")
ROUNDING = re.compile(r"\d+(?:\.\d+)?e[+-]\d+")  # measured errors: 4e-07


class Checker(doctest.OutputChecker):
    """Rounding errors may be three times what the page shows, or a third: sums differ a little between machines."""

    def check_output(self, want: str, got: str, flags: int) -> bool:
        shown, measured = (list(map(float, ROUNDING.findall(text))) for text in (want, got))
        same_words = ROUNDING.sub("~", want) == ROUNDING.sub("~", got)
        return same_words and all(b / 3 <= a <= b * 3 for a, b in zip(shown, measured, strict=True))


def prompted(block: str) -> str:
    """A block as it would be typed: with prompts, where the page shows a plain listing."""
    if ">>> " in block:
        return block
    starts = {min([s.lineno, *(d.lineno for d in getattr(s, "decorator_list", []))]) for s in ast.parse(block).body}
    return "\n".join((">>> " if i in starts else "... ") + line for i, line in enumerate(block.splitlines(), 1)) + "\n"


def complaints(text: str) -> str:
    """What does not come out as the page says."""
    said: list[str] = []
    runner = doctest.DocTestRunner(Checker(), verbose=False)
    blocks = "\n".join(map(prompted, re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)))
    runner.run(doctest.DocTestParser().get_doctest(blocks, {}, "page", None, 0), out=said.append)
    assert runner.tries > 0, "no code was found"
    return "".join(said)


@pytest.mark.parametrize("page", WITH_CODE)
def test_the_code_of_a_page_prints_what_the_page_shows(page, monkeypatch):
    monkeypatch.setattr(launch.hooks, "matmul", "fp32")  # restored, whatever the page sets
    monkeypatch.setattr(launch.hooks, "cooperative", True)
    said = complaints((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    assert not said, said


@pytest.mark.parametrize(
    ("shown", "right"),
    [("x 2e-06 y", True), ("x 5e-06 y", True), ("x 9e-06 y", False), ("x 2e-07 y", False), ("x 2e-06 z", False),
     ("x 2e-06 2e-06 y", False), ("x 0.000002 y", False)],
)  # fmt: skip
def test_a_wrong_figure_is_caught(shown, right):
    assert (complaints(f"```python\n>>> print('x 2e-06 y')\n{shown}\n```\n") == "") == right


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))], ids=lambda page: page.stem)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert links and not [link for link in links if not (page.parent / link).exists()]


def anchors(page: Path) -> set[str]:
    """What a link can name behind #: headings in small letters, dashes for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))], ids=lambda page: page.stem)
def test_links_to_headings_lead_to_headings(page):
    links = re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    assert [(file, name) for file, name in links if name not in anchors(page.parent / file if file else page)] == []


def test_commands_and_tests_that_the_readme_names_are_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands, tests = set(re.findall(r"python -m ([\w.]*\w)", text)), set(re.findall(r"\btest_\w+\.py", text))
    assert len(commands) > 8 and [name for name in commands if importlib.util.find_spec(name) is None] == []
    assert len(tests) > 6 and [name for name in tests if not (ROOT / "tests" / name).exists()] == []


def test_the_page_of_options_is_what_the_program_says():
    shown = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert shown == options.page(), "python -m train.config.options > docs/options.md"


def test_the_page_for_those_who_come_from_there_is_what_the_program_says():
    shown = (ROOT / "docs" / "coming_from.md").read_text(encoding="utf-8")
    assert shown == habits.page(), "python -m train.config.habits > docs/coming_from.md"


def test_the_map_of_the_house_is_what_ls_shows():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    house = re.findall(r"^( *)(\w+)/ ", text.partition("```")[2].partition("```")[0], re.MULTILINE)
    for folder, indent, drawn in ((ROOT, "", 9), (ROOT / "train", "  ", 10)):
        there = {
            f.name for f in folder.iterdir() if list(f.glob("*.py")) + list(f.glob("*.md")) + list(f.glob("*.txt"))
        }
        there = {name for name in there if "." not in name}  # .pytest_cache, an installation's .egg-info
        assert {name for space, name in house if space == indent} == there and len(there) >= drawn
    rows = re.findall(r"^\| \[`(\w+)/`\]", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {*rows} <= {name for _, name in house} and len(rows) >= 7
