"""Which pictures of two folders are the same: equal byte by byte, or scaled, saved again, a little brighter.

Three looks, each at what the one before let through: a hash of where brightness rises, small gray thumbnails, and then colour
place by place. The last is for flat grounds, on which everything is nearly alike: E and F differ in one bar, which is little of
the picture's area, but all of its contrast there. An average over the picture would not see it; so the largest difference counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from train.data.images import inspect, load_image

GRID = 16  # the hash compares GRID x GRID neighbours: 256 bits
RISE = 2 / 255  # in brightness; less, on a flat ground, is what compression leaves
ALIKE = 12  # bits; pictures that differ in at most so many,
NEAR = 0.03  # … then in the mean absolute difference of their gray GRID x GRID thumbnails, 0 to 1,
DIFFERENT = 0.15  # … and then nowhere by more than this share of their contrast, look the same
FINE = 64  # places across at the last look, of at least
CELL = 4  # … pixels: saving again changes single ones


@dataclass(frozen=True)
class Picture:
    """A readable file: its folder, its name below that, its content's hash, its lesser side (pixels), how it looks."""

    folder: Path
    name: str
    digest: str
    side: int
    bits: np.ndarray  # uint64 [4]: where brightness rises from a place to its right neighbour
    thumbnail: np.ndarray  # float32 [GRID,GRID], gray, 0 to 1

    @cached_property
    def fine(self) -> np.ndarray:
        """uint8 [FINE,FINE,3]: read again, as few pictures come to be looked at so closely."""
        colour = colours(self.folder / self.name)
        planes = [reduced(np.ascontiguousarray(colour[..., c]), FINE, FINE) for c in range(3)]
        return np.stack([(255 * plane + 0.5).astype(np.uint8) for plane in planes], axis=-1)


class Twins(NamedTuple):
    """Two pictures that are the same, by their places in two lists; `difference` as `difference` has it."""

    first: int
    second: int
    equal: bool  # byte by byte
    difference: float


def look(folder: Path, name: str) -> Picture:
    """The picture of that name below a folder; UserError if it cannot be read to its end."""
    path = folder / name
    colour = colours(path)  # [H,W,3]
    small = reduced(colour @ np.array([0.299, 0.587, 0.114], np.float32), GRID + 1, GRID)  # [GRID,GRID+1]
    bits = np.packbits(small[:, 1:] > small[:, :-1] + RISE).view(np.uint64)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Picture(folder, name, digest, min(colour.shape[:2]), bits, small[:, :-1])


def twins_among(first: list[Picture], second: list[Picture], keep_similar: bool) -> list[Twins]:
    """All pairs of one picture of each list that are equal or, unless these are kept, look the same; in order."""
    if not first or not second:
        return []
    bits, thumbnails = np.stack([p.bits for p in second]), np.stack([p.thumbnail for p in second])
    digests = np.array([p.digest for p in second])
    found = []
    for i, p in enumerate(first):
        same = digests == p.digest
        if not keep_similar:
            near = np.bitwise_count(bits ^ p.bits).sum(axis=1) <= ALIKE
            near[near] = np.abs(thumbnails[near] - p.thumbnail).mean(axis=(1, 2)) <= NEAR
        for j in np.flatnonzero(same if keep_similar else same | near):
            far = 0.0 if same[j] else difference(p, second[j])
            if far <= DIFFERENT:
                found.append(Twins(i, int(j), bool(same[j]), far))
    return found


def difference(a: Picture, b: Picture) -> float:
    """The largest difference at any place, brightness apart, as a share of the contrast of the one that has less."""
    step = 1
    while FINE // step > GRID and min(a.side, b.side) < CELL * (FINE // step):
        step *= 2
    x, y = (np.asarray(p.fine, np.float32) / 255 for p in (a, b))
    x, y = (z.reshape(FINE // step, step, FINE // step, step, 3).mean(axis=(1, 3)) for z in (x, y))
    contrast = max(min(np.ptp(x), np.ptp(y)), 8 / 255)  # of nearly flat ones, what compression may add
    return float(np.abs((x - x.mean()) - (y - y.mean())).max() / contrast)


def colours(path: Path) -> np.ndarray:
    """A picture as float32 [H,W,3], 0 to 1; of an array's many bands three."""
    x = load_image(path, inspect(path).channels or 3) / 2 + 0.5
    return x[..., [0, 1, 2] if x.shape[2] > 2 else [0, 0, 0]]


def reduced(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    """float32 [H,W] averaged to [height,width]."""
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BOX))
