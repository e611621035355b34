"""What the state in a checkpoint must look like before anything is made of it, for it may come from a stranger.

Only what every system's state has in common stands here; what a part of it alone knows, it checks when it takes it up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from train.errors import UserError, shown

MOST_COUNT = 10**15  # steps, epochs: more than a run of a thousand years has


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_COUNT


def _number(value: Any) -> bool:
    return type(value) in (int, float) and not math.isnan(value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _plain(value: Any) -> bool:
    return (
        value is None or isinstance(value, str | bool) or (isinstance(value, int | float) and abs(value) <= MOST_COUNT)
    )


def _array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _score(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and _text(value[0]) and _number(value[1]))


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_count, value))


Check = Callable[[Any], bool] | Mapping[str, "Check"]
ALL = ""  # stands for every key
NETWORKS: Check = {ALL: {ALL: _array}}
WANTED: Check = {
    "program": _text,
    "config": {ALL: _plain},
    "run": {
        "step": _count, "epoch": _count, "position": _count, "cycle_sum": _number, "seconds": _number,
        "verdict": _score, "best": _score, "images": _pair,
    },
    "schedule": {"done": _count, "drops": _count, "bad": _count, "best": _number, "watched": _text},
    "watch": {"recent": {}},
    "model": {"networks": NETWORKS, "optimizers": {}},
    "networks": NETWORKS,
    "about": {ALL: {ALL: _plain}},
}  # fmt: skip
"""What is there must be so; what is not there is another's business."""


def check_state(path: Path, state: Any) -> None:
    """UserError unless the state of a run, or of networks alone, is made of what this program makes it of."""
    why = _misfit(state, WANTED, "its state")
    if not why and "run" in state:
        why = _misplaced(state["run"], state.get("schedule", {}))
    if why:
        raise UserError(
            f"{shown(path)}: a checkpoint, but not as this program writes it: {shown(why, 300)}. It was changed since, or "
            "made by another; take another copy of it"
        )


def _misfit(value: Any, wanted: Check, name: str) -> str:
    """Where and how a value is not as wanted; "" if it is."""
    if callable(wanted):
        return "" if wanted(value) else f"{name} is {str(value)[:60]!r} (a {type(value).__name__})"
    if not isinstance(value, dict):
        return f"{name} is a {type(value).__name__}, wanted a dict"
    for key, item in value.items():
        check = wanted.get(key, wanted.get(ALL))
        if check is not None and (why := _misfit(item, check, f"{name}/{key}" if name != "its state" else key)):
            return why
    return ""


def _misplaced(run: Mapping[str, Any], schedule: Mapping[str, Any]) -> str:
    """Why a run cannot stand there: each epoch takes a step or more."""
    step, epoch, position = run.get("step", 0), run.get("epoch", 1), run.get("position", 0)
    if not 1 <= epoch <= step + 1 or position > step or schedule.get("done", 0) > step:
        return f"batch {position} of epoch {epoch}, with {schedule.get('done', 0)} done, after {step} steps"
    return ""


def numbers_in(state: Any) -> int:
    """How many numbers all arrays of a state hold."""
    if isinstance(state, dict | list):
        return sum(map(numbers_in, state.values() if isinstance(state, dict) else state))
    return state.size if isinstance(state, np.ndarray) else 0
