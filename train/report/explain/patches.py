"""What a score sees: the discriminators' score maps over their pictures, with the measured gradient of each score.

The gradients travel as one gray picture of tiles per map, a tile's brightness being the gradient's square root; the page's
script shows the tile of the score that is pointed at.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

from nn.network import Network
from train.evaluation.explained_step import Explained
from train.evaluation.overhearing import ENDS, LETTERS
from train.evaluation.receptive_field import nominal, outside, score_gradients
from train.report.explain.figures import TILE, data_uri, shrunk

PLACES = 14  # scores along a side that are measured, at most
BUDGET = 250e9  # multiply-accumulates for a map's gradients, about: so large networks have fewer


def data(e: Explained) -> list[dict[str, Any]]:
    """For each of the maps: the picture's name, scores before and after, box, and the tiles. All gradients are those before
    the step."""
    found = []
    for start, target, there, _, disc in ENDS.values():
        network = copy.deepcopy(e.model.networks()[disc])
        network.load_state_dict(e.before.weights[disc])
        for picture in (target, f"{LETTERS[there]}({start})"):
            found.append(one(e, network, disc, picture))
    return found


def one(e: Explained, network: Network, disc: str, picture: str) -> dict[str, Any]:
    """One map."""
    name, x = f"{LETTERS[disc]}({picture})", e.before.pictures[picture]
    before, after, field = e.before.scores[name], e.after.scores[name], nominal(network)
    rows, columns = (chosen(n, most(e, disc)) for n in before.shape)
    places = [(i, j) for i in rows for j in columns]
    maps = score_gradients(network, np.ascontiguousarray(x[None]), places)
    shares = [round(outside(g, field, i, j), 4) for g, (i, j) in zip(maps, places, strict=True)]
    return {
        "name": name, "picture": picture, "disc": LETTERS[disc], "height": x.shape[0], "width": x.shape[1],
        "rows": rows, "columns": columns, "size": field.size, "step": field.step, "start": field.start, "outside": shares,
        "before": before.round(3).tolist(), "after": after.round(3).tolist(), "tile": list(tile(maps[0]).shape),
        "tiles": data_uri(sheet(maps, len(columns))),
    }  # fmt: skip


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
