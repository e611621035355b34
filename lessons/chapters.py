"""The chapters on disk, and what can be done with one: read it, run its experiment, write its page or its notebook."""

from __future__ import annotations

import importlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from types import ModuleType

from lessons import markdown
from lessons.parts import Part
from train.report.offline import head

HERE = Path(__file__).parent
ROOT = HERE.parent
MARK = "<!-- experiment -->"
"""Where in a lesson its experiment's parts stand."""


@dataclass(frozen=True)
class Chapter:
    """A folder cNN_name."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def number(self) -> int:
        return int(self.name[1:3])

    @cached_property
    def lesson(self) -> str:
        """The text, in Markdown. Its heading is `# N. The question?`"""
        return (self.folder / "lesson.md").read_text(encoding="utf-8")

    @property
    def question(self) -> str:
        return self.lesson.partition("\n")[0].partition(". ")[2]

    @property
    def exercise(self) -> Path:
        return self.folder / "exercise.py"

    @property
    def solution(self) -> Path:
        return HERE / "solutions" / f"{self.name}.py"

    def module(self, name: str) -> ModuleType:
        """Its experiment or check."""
        return importlib.import_module(f"lessons.{self.name}.{name}")

    def experiment(self) -> list[Part]:
        """Run it."""
        return self.module("experiment").show()

    def links(self) -> set[Path]:
        """The files and folders that the lesson leads to."""
        found = (target.partition("#")[0] for _, target in markdown.LINK.findall(self.lesson) if "://" not in target)
        return {(self.folder / target).resolve() for target in found if target}


def chapters() -> list[Chapter]:
    """All, in order."""
    return [Chapter(folder) for folder in sorted(HERE.glob("c[0-9][0-9]_*")) if (folder / "lesson.md").exists()]


def chapter(number: int) -> Chapter:
    """ValueError if there is no such chapter."""
    known = {c.number: c for c in chapters()}
    if number not in known:
        raise ValueError(f"there is no chapter {number}; `python -m lessons` lists those that there are")
    return known[number]


# -- as a page


def page(c: Chapter, parts: list[Part], file: Path) -> str:
    """The lesson with what its experiment showed, as one HTML document that needs nothing else."""

    def link(target: str) -> str:
        if "://" in target:
            return target
        return os.path.relpath(c.folder / target, file.resolve().parent).replace(os.sep, "/")

    before, _, after = c.lesson.partition(MARK)
    middle = "\n".join(part.html() for part in parts)
    following = [n for n in chapters() if n.number == c.number + 1]
    last = "".join(f"Next: <b>{escape(n.question)}</b> <code>python -m lessons {n.number}</code>" for n in following)
    body = "\n".join([markdown.html(before, link), middle, markdown.html(after, link), f"<p><small>{last}</small></p>"])
    top = head(escape(f"{c.number}. {c.question}"), (HERE / "style.css").read_text("utf-8"))
    return f"{top}<body><main>\n{body}\n</main></body>\n</html>\n"


# -- as a notebook


def notebook(c: Chapter) -> str:
    """The lesson as JSON for Jupyter: text cells, and code cells for its snippets and commands."""
    cells = []
    for block in markdown.blocks(c.lesson.replace(MARK, "")):
        fence = markdown.FENCE.match(block)
        if fence and fence.group(1) in RUNS:
            code = RUNS[fence.group(1)](fence.group(2))
            cells.append(cell("code", code) | {"execution_count": None, "outputs": []})
        else:
            cells.append(cell("markdown", block))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps(
        {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}, indent=1
    )


def cell(kind: str, source: str) -> dict[str, object]:
    return {"cell_type": kind, "metadata": {}, "source": source.rstrip("\n").splitlines(keepends=True)}


def typed(snippet: str) -> str:
    """What was typed at `>>>`."""
    return "\n".join(line[4:] for line in snippet.split("\n") if re.match(r"(>>>|\.\.\.)( |$)", line))


def commands(snippet: str) -> list[list[str]]:
    """The words after `$ python -m lessons` of each command shown."""
    return [line.split() for line in re.findall(r"^\$ python -m lessons ?(.*)$", snippet, re.MULTILINE)]


RUNS: dict[str, Callable[[str], str]] = {
    "python": typed,
    "console": lambda snippet: "\n".join(
        ["from lessons.__main__ import main", "", *(f"main({words!r})" for words in commands(snippet))]
    ),
}
"""How each kind of snippet becomes code."""
