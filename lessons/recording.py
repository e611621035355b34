"""A training in the plane as a film: what all points and both discriminators do at chosen steps, small enough for a page."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from lessons.chapters import HERE
from lessons.exhibits import Exhibit
from lessons.parts import Widget
from lessons.plain_step import PlainStep
from lessons.points import STEPS, A, B, Run, apply, cloud

FRAMES = tuple(int(s) for s in np.unique(np.r_[0:40:8, 40:200:20, 200 : STEPS + 1 : 40]))
REACH = 2.4  # the plane is drawn from -REACH to REACH
GRID = 21
LOOKED_AT = 32  # points of each domain


def points(centres: np.ndarray) -> np.ndarray:
    """The same points of a domain for every film, sorted by cluster: [N,2]."""
    each = [cloud(np.random.default_rng(i), centres[i : i + 1], LOOKED_AT // 4)[0, :, 0] for i in range(4)]
    return np.concatenate(each)


def frame(game: PlainStep) -> bytes:
    """G(a), F(G(a)), F(b), G(F(b)) of the points, then the scores of disc_b and disc_a over the plane; one byte a number."""
    fake_b, fake_a = apply(game.gen_ab, points(A)), apply(game.gen_ba, points(B))
    moved = [fake_b, apply(game.gen_ba, fake_b), fake_a, apply(game.gen_ab, fake_a)]
    line = np.linspace(-REACH, REACH, GRID)
    plane = np.stack(np.meshgrid(line, line[::-1]), -1).reshape(-1, 2)
    scores = [apply(disc, plane) for disc in (game.disc_b, game.disc_a)]
    places = (np.concatenate(moved).ravel() / REACH).clip(-1.27, 1.27) * 100  # in hundredths of REACH
    shades = np.concatenate(scores).ravel().clip(-0.5, 1.5) * 120 - 60  # 0 is -60, 1 is 60
    return np.concatenate([places, shades]).round().astype(np.int8).tobytes()


def film(exhibit: Exhibit, seed: int) -> tuple[Run, dict[str, Any]]:
    """A training and its film."""
    run = exhibit.run(seed, watch=frame, looks=FRAMES)
    losses = {p: np.mean([run.losses[f"{p}_A"], run.losses[f"{p}_B"]], axis=0)[::4].round(4).tolist() for p in "DG"}
    facts = {name: round(value, 3) for name, value in run.numbers().items()}
    return run, {"frames": base64.b64encode(b"".join(run.seen)).decode(), "losses": losses, "facts": facts}


def cinema(title: str, films: dict[str, dict[str, Any]], words: str, notes: dict[str, str]) -> Widget:
    """The films on one screen: buttons choose, a slider goes through the steps. `notes` says what to look for in each."""
    data = {
        "films": films, "steps": FRAMES, "reach": REACH, "grid": GRID, "count": LOOKED_AT, "notes": notes,
        "a": points(A).round(3).tolist(), "b": points(B).round(3).tolist(),
    }  # fmt: skip
    body, script, style = (HERE.joinpath(f"cinema.{kind}").read_text("utf-8") for kind in ("html", "js", "css"))
    return Widget(title, body, script, data, words, style)
