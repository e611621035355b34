"""Weights that are numbers: asked before they are taken up, for a NaN spreads to every pixel of every picture."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from train.errors import UserError, shown
from train.files import checkpoint


def nonfinite_in(tree: Any, place: str = "") -> str:
    """The name of the first array in a tree of dicts and lists that holds a NaN or an infinity, also as float32; "" if none
    does."""
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return next(filter(None, (nonfinite_in(item, f"{place}/{key}".strip("/")) for key, item in items)), "")
    if not isinstance(tree, np.ndarray) or tree.dtype.kind != "f":
        return ""
    with np.errstate(over="ignore"):
        return "" if np.isfinite(tree.astype(np.float32, copy=False)).all() else place


def check_finite(file: Path, tree: Any, place: str = "") -> None:
    """UserError for weights from `file` with a NaN or an infinity in them; of a run it names the newest copy without."""
    bad = nonfinite_in(tree, place)
    if not bad:
        return
    of_a_run = file.name == "latest.npz"
    way = (
        "no copy beside it is sound; start afresh, with a smaller --lr"
        if of_a_run
        else "take another copy of it, or train anew"
    )
    for copy in sorted(
        file.parent.glob("*.npz") if of_a_run else (), key=lambda copy: copy.stat().st_mtime, reverse=True
    ):
        with contextlib.suppress(UserError):
            if copy != file and "run" in (other := checkpoint.load(copy)) and not nonfinite_in(other.get("model")):
                cp = f"cp {shlex.quote(str(copy))} {shlex.quote(str(file))}"
                way = f"{shown(copy.name)} is sound, step {other['run']['step']}: {cp}"
                break
    raise UserError(f"{shown(file)}: {shown(bad)} holds a NaN or an infinity, and nothing comes of such weights; {way}")
