"""The networks in what a file holds: each by the place where it was found."""

from __future__ import annotations

from typing import Any

import numpy as np

from train.weights.layers import State

ROOTS = ("model", "net")  # what the Sequential of a network is called
FEWEST = 3  # convolutions of a network
WRAPPERS = ("module", "_orig_mod")  # DataParallel's, torch.compile's


def states(tree: Any, place: str = "") -> dict[str, State]:
    """The state_dicts in a tree of dicts and lists: {"state_dict.G_A": {"model.1.weight": …}}.

    Other things in it (counters, settings, what optimisers remember) are left out.
    """
    if isinstance(tree, list):
        tree = {str(i): value for i, value in enumerate(tree)}
    if not isinstance(tree, dict):
        return {}
    arrays = {str(key): value for key, value in tree.items() if isinstance(value, np.ndarray)}
    found = split(arrays, place) if convolutions(arrays) else {}
    for key, value in tree.items():
        found |= states(value, f"{place}.{key}" if place else str(key))
    return found


def convolutions(state: State) -> int:
    """How many it holds. (An optimiser's exp_avg has the same shape under another name.)"""
    return sum(value.ndim == 4 and key.rpartition(".")[2] == "weight" for key, value in state.items())


def split(state: State, place: str = "") -> dict[str, State]:
    """A flat dict of one network or several, whose keys begin with a network's place: {"G_A.model.1.weight": …}.

    Where no key tells where a network begins, or the pieces are too small to be any, it is all one.
    """
    roots = {key: root(key) for key in state}
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, (where, rest) in roots.items():
        if where is None:  # part of another network, or a loss's
            where, _, rest = key.partition(".")
        label = ".".join(part for part in (place, where) if part)
        found.setdefault(label, {})[rest] = state[key]
    if all(where is None for where, _ in roots.values()) or max(map(convolutions, found.values())) < FEWEST:
        return {place: state}
    return {label: part for label, part in found.items() if convolutions(part)}


def root(key: str) -> tuple[str | None, str]:
    """A key's place and the rest: "module.G_A.model.1.weight" -> "G_A", "model.1.weight"; no place where no Sequential begins."""
    parts, start = key.split("."), None
    for i, part in enumerate(parts[:-1]):
        if part in ROOTS:
            start = i if start is None else start
        elif start is not None and part.isdecimal():
            return ".".join(p for p in parts[:start] if p not in WRAPPERS), ".".join(parts[start:])
        else:
            start = None
    return None, key
