"""Built-in pictures for many-to-many translation: a gray scene (domain A) and the same scene in one of many colourings (B).

Each colouring has two hues, of the animal and of the ground, anywhere on a circle of colours of equal luma. So the gray scene
is exactly the luma of every one of its colourings: B -> A has one answer, A -> B a whole torus of them, and all are known.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from train.data.builtin.scenes import PAINT, Array, painted
from train.data.pixels import LUMA

_luma = np.array(LUMA)
CHROMA = 0.24  # radius of the circle of colours, of a full channel, for a middling gray

_first = np.array((1.0, 0.0, 0.0)) - _luma[0]  # the plane of equal luma: red against the rest, then green against blue
_second = np.array((0.0, _luma[2], -_luma[1])) / _luma[1]
_second -= _luma @ _second
_second -= _first * (_second @ _first) / (_first @ _first)
AXES = np.stack([_first / np.linalg.norm(_first), _second / np.linalg.norm(_second)])  # [2,3]


def colours(domain: str, seed: int, size: int) -> Array:
    """float32 [size,size,3] in [-1, 1]: scene `seed` in gray ("A"), or in the colouring that belongs to this seed ("B")."""
    return coloured(seed, size, None if domain == "A" else hues_of(seed))


def hues_of(seed: int) -> tuple[float, float]:
    """The hues of the animal and of the ground, radians, in picture `seed` of B."""
    animal, ground = np.random.default_rng([seed, 0xC0105]).uniform(-np.pi, np.pi, 2)
    return float(animal), float(ground)


def coloured(seed: int, size: int, hues: tuple[float, float] | None) -> Array:
    """Scene `seed` with the animal and the ground in these hues, None for gray: each is a true partner of all the others."""
    gray = {
        name: float(_luma @ np.array(PAINT["A"][name]))
        for name in ("sky_top", "sky_low", "hill", "hill_low", "far", "near")
    }
    paint: dict[str, Any] = {name: (luma,) * 3 for name, luma in gray.items()}
    paint |= {"texture": PAINT["A"]["texture"], "dark": (0.12,) * 3, "coat": ((0.46,) * 3, (0.34,) * 3)}
    if hues is not None:
        animal, ground = (CHROMA * (np.cos(hue) * AXES[0] + np.sin(hue) * AXES[1]) for hue in hues)
        paint["coat"] = tuple(np.array(c) + animal for c in paint["coat"])
        paint |= {name: np.array(paint[name]) + ground for name in ("far", "near")}
    return painted(paint, seed, size)


def masks(seed: int, size: int) -> dict[str, Array]:
    """Where the animal and the ground are, bool [size,size]: where another hue changes the picture most."""
    marked = {"animal": coloured(seed, size, (0.0, 0.0)) - coloured(seed, size, (np.pi, 0.0))}
    marked["ground"] = coloured(seed, size, (0.0, 0.0)) - coloured(seed, size, (0.0, np.pi))
    change = {name: abs(difference).sum(-1) for name, difference in marked.items()}
    return {name: c > 0.5 * c.max() for name, c in change.items()}


def chroma(picture: Array, mask: Array) -> complex:
    """The mean colour under a mask, as a complex number in the plane of equal luma: its angle is the hue."""
    colour = picture[mask].mean(0) / 2  # [3], on a scale of 0 to 1
    plane = (colour - _luma @ colour) @ AXES.T  # [2]
    return complex(plane[0], plane[1])
