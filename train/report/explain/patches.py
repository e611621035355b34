"""What a score sees: the discriminators' score maps over their pictures, with the measured gradient of each score.

The gradients travel as one gray picture of tiles per map, a tile's brightness being the gradient's square root; the page's
script shows the tile of the score that is pointed at.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

from train.evaluation.explained_step import Explained
from train.evaluation.overhearing import LETTERS
from train.evaluation.receptive_field import Field, nominal, outside, score_gradients
from train.report.explain.figures import TILE, data_uri, shrunk

PLACES = 14  # scores along a side that are measured, at most
BUDGET = 250e9  # multiply-accumulates for a map's gradients, about: so large networks have fewer


def data(e: Explained) -> list[dict[str, Any]]:
    """For each of the maps: the picture's name, scores before and after, box, and the tiles. All gradients are those before
    the step."""
    return [one(e, name) for name in e.before.scores]


def one(e: Explained, name: str) -> dict[str, Any]:
    """One map."""
    disc, picture = judged(name)
    x, before, after, box = e.before.pictures[picture], e.before.scores[name], e.after.scores[name], field(e, name)
    rows, columns = (chosen(n, most(e, disc)) for n in before.shape)
    places = [(i, j) for i in rows for j in columns]
    maps = gradients(e, name, places)
    shares = [round(outside(g, box, i, j), 4) for g, (i, j) in zip(maps, places, strict=True)]
    return {
        "name": name, "picture": picture, "disc": LETTERS[disc], "height": x.shape[0], "width": x.shape[1],
        "rows": rows, "columns": columns, "size": box.size, "step": box.step, "start": box.start, "outside": shares,
        "before": before.round(3).tolist(), "after": after.round(3).tolist(), "tile": list(tile(maps[0]).shape),
        "tiles": data_uri(sheet(maps, len(columns))),
    }  # fmt: skip


def judged(name: str) -> tuple[str, str]:
    """The discriminator and the picture of a map such as "D_B(G(a))"."""
    letters, _, picture = name.partition("(")
    return next(network for network, word in LETTERS.items() if word == letters), picture[:-1]


def field(e: Explained, name: str) -> Field:
    """The box of a map's scores."""
    return nominal(e.model.networks()[judged(name)[0]])


def gradients(e: Explained, name: str, places: list[tuple[int, int]]) -> np.ndarray:
    """Of a map's scores at these places, with the weights before the step: [n,H,W]."""
    disc, picture = judged(name)
    network = copy.deepcopy(e.model.networks()[disc])
    network.load_state_dict(e.before.weights[disc])
    return score_gradients(network, np.ascontiguousarray(e.before.pictures[picture][None]), places)


def outside_of(e: Explained, name: str, places: list[tuple[int, int]]) -> list[float]:
    """The shares of these scores' gradients that lie outside of their boxes."""
    maps = gradients(e, name, places)
    return [outside(g, field(e, name), i, j) for g, (i, j) in zip(maps, places, strict=True)]


def most(e: Explained, disc: str) -> int:
    """Scores along a side whose gradients can be afforded."""
    forwards = [f for f in e.forwards if f.network == disc]
    if not forwards:  # --lambda_GAN 0: it takes no part
        return 3
    macs = sum(op.macs for op in e.ops_of(forwards[0])) / len(forwards[0].made)
    return max(3, min(PLACES, int((BUDGET / (3 * macs)) ** 0.5)))


def chosen(n: int, count: int) -> list[int]:
    """At most `count` of n places, evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, count)).round().astype(int)).tolist()


def tile(gradient: np.ndarray) -> np.ndarray:
    """[H,W] as brightness, the square root of it, uint8, at most TILE pixels across."""
    small = shrunk(gradient, TILE)
    return (np.sqrt(small / max(float(small.max()), 1e-30)) * 63).round().astype(
        np.uint8
    ) * 4  # 64 levels, which travel light


def sheet(maps: np.ndarray, across: int) -> np.ndarray:
    """All tiles as one picture, `across` in a row."""
    tiles = [tile(g) for g in maps]
    return np.concatenate([np.concatenate(tiles[i : i + across], axis=1) for i in range(0, len(tiles), across)], axis=0)


def script(maps: list[dict[str, Any]]) -> str:
    """The data for the page's script."""
    return json.dumps(maps, separators=(",", ":")).replace("</", "<\\/")
