"""How an exercise is graded: each check says what is wrong, where, by how much, and why."""

from __future__ import annotations

import importlib.util
import inspect
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lessons.chapters import Chapter


class Wrong(Exception):
    """What a check has to say."""


def compare(what: str, yours: Any, wanted: Any, why: str = "", tolerance: float = 1e-6) -> None:
    """Wrong unless the two arrays (or numbers) agree within `tolerance`, relative to the largest wanted value."""
    if yours is None or (isinstance(yours, type(...))):
        raise Wrong(f"{what}: your function returned {yours!r}\n{why}".rstrip())
    mine, right = np.asarray(yours, np.float64), np.asarray(wanted, np.float64)
    if mine.shape != right.shape:
        raise Wrong(f"{what}: yours has shape {mine.shape}, wanted {right.shape}\n{why}".rstrip())
    difference = abs(mine - right)
    allowed = tolerance * max(1.0, float(abs(right).max(initial=0)))
    bad = ~(difference <= allowed)
    if not bad.any():
        return
    worst = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), right.shape)
    where = f" at {tuple(map(int, worst))}" if worst else ""
    share = f"; {int(bad.sum())} of {bad.size} elements differ" if bad.size > 1 else ""
    raise Wrong(
        f"{what}{where}: yours {mine[worst]:.6g}, wanted {right[worst]:.6g}, difference {difference[worst]:.2g}{share}"
        + (f"\n{why}" if why else "")
    )


def demand(holds: Any, words: str) -> None:
    """Wrong, in these words, unless it holds."""
    if not holds:
        raise Wrong(words)


def answer(exercise: ModuleType, name: str, right: Any, why: str) -> None:
    """A question with one right answer, which the exercise keeps under `name`; None means not answered yet."""
    given = getattr(exercise, name, None)
    if given is None:
        raise NotImplementedError(name)
    demand(given == right, f"{name} = {given!r} is not it\n{why}")


def load(file: Path) -> ModuleType:
    """The learner's file as a module."""
    spec = importlib.util.spec_from_file_location("exercise", file)
    assert spec and spec.loader, file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdicts(chapter: Chapter, file: Path) -> Iterator[tuple[bool, str]]:
    """(passed, text) of each check; what raises within the learner's file is told by its line."""
    try:
        exercise = load(file)
    except Exception as error:  # noqa: BLE001  a learner can raise anything
        yield False, f"the file cannot be loaded: {told(error, file)}"
        return
    for title, check in checks(chapter):
        try:
            check(exercise)
            yield True, title
        except Wrong as wrong:
            yield False, f"{title}\n{wrong}"
        except NotImplementedError as empty:
            yield False, f"{title}\nnot written yet: {empty or 'fill in the hole'}"
        except Exception as error:  # noqa: BLE001  a learner can raise anything
            yield False, f"{title}\n{told(error, file)}"


def checks(chapter: Chapter) -> list[tuple[str, Callable[[ModuleType], None]]]:
    """The chapter's checks in the order of its file, under the first line of what they say of themselves."""
    module = chapter.module("check")
    found = [f for name, f in vars(module).items() if name.startswith("check_")]
    return [((inspect.getdoc(f) or f.__name__).partition("\n")[0], f) for f in found]


def told(error: Exception, file: Path) -> str:
    """The error in one line, with the last line of the learner's file that was running."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    where = f"line {lines[-1]} of {file.name}" if lines else f"the way in which {file.name} was used"
    return f"{where} raised {type(error).__name__}: {error}"


def grade(chapter: Chapter, file: Path) -> bool:
    """Print every verdict; whether all passed."""
    print(f"{chapter.number}. {chapter.question}   ({file})")
    passed = []
    for right, text in verdicts(chapter, file):
        first, *more = text.split("\n")
        print(f"  {'✓' if right else '✗'} {first}", *(f"      {line}" for line in more), sep="\n")
        passed.append(right)
    print(
        "  solved"
        if all(passed)
        else f"  {sum(passed)} of {len(passed)}: the lesson's last section says what is wanted"
    )
    return all(passed)
