"""Which of a file's networks translates, and which way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from train.errors import UserError, shown
from train.weights.formats import Weights
from train.weights.names import OUR_NAMES

DIRECTIONS = {"AtoB": "gen_ab", "BtoA": "gen_ba"}
GENERATOR: dict[str, dict[str, Any]] = {  # options of the commands that take weights from elsewhere
    "--network": dict(default="", metavar="NAME", help="the generator, where a file or folder holds several whose names tell no direction (train.convert lists them)"),
    "--upsample": dict(choices=("nearest", "bilinear"), default="", help="how a foreign generator resizes, which weights do not tell (default: as the file says, else nearest)"),
}  # fmt: skip


def chosen(found: Mapping[str, Weights], name: str, source: str | Path) -> Weights:
    """The network of that name, ours or the reference implementation's (G_A); UserError lists what there is."""
    name = OUR_NAMES.get(name, name)
    if name not in found:
        raise UserError(f"--network {shown(name)}: {shown(source)} holds {_listed(found)}")
    return found[name]


def generators(
    found: Mapping[str, Weights], source: str | Path, direction: str = "", network: str = ""
) -> dict[str, Weights]:
    """The generators by direction ("AtoB", "BtoA"), the one that is meant first. UserError where that cannot be told.

    direction  the one that is asked for; "" takes AtoB, or the only generator there is
    network    the generator's name, where no name tells a direction
    """
    by_name = {way: found[name] for way, name in DIRECTIONS.items() if name in found}
    if network:
        one = chosen(found, network, source)
        way = next((way for way, w in by_name.items() if w is one), direction or "AtoB")
        direction, by_name = way, by_name if one in by_name.values() else {way: one}
    elif not by_name:
        by_name = {"AtoB": _only(found, source)}
        if direction == "BtoA":
            raise UserError(
                f"{shown(source)}: holds one generator and does not say that it is B to A; leave out --direction"
            )
    if direction and direction not in by_name:
        raise UserError(
            f"{shown(source)}: holds the generator of the other direction only; leave out --direction {direction}"
        )
    first = direction or next(iter(by_name))
    if (
        not by_name[first].architecture().is_generator
    ):  # or else it raises, and says what is wrong with a file that is needed
        raise UserError(f"{by_name[first].source}: {by_name[first].name} is a discriminator, which translates nothing")
    return {first: by_name[first]} | {way: w for way, w in by_name.items() if w.kind == "generator"}


def _only(found: Mapping[str, Weights], source: str | Path) -> Weights:
    there = [w for w in found.values() if w.kind == "generator"]
    if len(there) > 1:
        raise UserError(
            f"{shown(source)}: holds {len(there)} generators, {_listed([w.name for w in there])}, and no name tells which leads from A "
            "to B (A2B, AtoB, G_AB or G_A would); name one with --network"
        )
    if not there and any(w.kind for w in found.values()):
        raise UserError(f"{shown(source)}: holds no generator, which alone translates; seen {_listed(found)}")
    return (there or list(found.values()))[0]


def _listed(names: Iterable[str]) -> str:
    return shown(", ".join(names), 200)
