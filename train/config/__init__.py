"""Every setting of a run, and the command line made from them.

Here is what a setting is: a dataclass field with its help text, its group in `--help`, and what it may be; and sizes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

Size = int | str
"""Sides of a picture in pixels: 256 for a square, "320x192" for width x height."""

GROUPS = ("run", "data", "networks", "losses", "schedule", "output", "evaluation")
"""Groups of `--help`, in its order."""

KINDS: dict[str, Any] = {"int": int, "float": int | float, "bool": bool, "str": str, "int | str": Size}


def sides(size: Size) -> tuple[int, int]:
    """(width, height) of a size, pixels. Raises ValueError for what is none, such as "320" x "0" or "wide"."""
    width, cross, height = str(size).partition("x")
    pair = int(width), int(height if cross else width)
    if min(pair) < 1:
        raise ValueError("sides are at least 1 pixel")
    return pair


def setting(
    default: Any,
    help: str,
    *,
    group: str,
    choices: Sequence[str] = (),
    resume: str = "fixed",
    least: int | None = None,
) -> Any:
    """A dataclass field with its help text, `--help` group, allowed values and behaviour on `--continue_train`."""
    about = {"help": help, "group": group, "choices": tuple(choices), "resume": resume, "least": least}
    return dataclasses.field(default=default, metadata=about)
