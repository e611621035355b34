"""Built-in streets: a map of classes (domain A) and the photo-like picture of the same street (domain B), by formula.

The small sister of Cityscapes: A is painted in that set's colours, B has gradients, bricks, windows, leaves, grain and
shadows. Street `seed` of A and of B is one street, so translations can be scored as the paper scores them: by the class
of every pixel (train/evaluation/label_scores.py), against maps that are true by construction. Only what cannot be seen from the
photo is missing from the map, and the other way round: brick and car colours, the light, the leaves.
"""

from __future__ import annotations

import numpy as np

from train.data.builtin.scenes import _mix as mix
from train.data.builtin.scenes import _noise as noise
from train.data.palette import palette

Array = np.ndarray
CLASSES = palette([
    ("road", (128, 64, 128)), ("pavement", (244, 35, 232)), ("building", (70, 70, 70)), ("tree", (107, 142, 35)),
    ("sky", (70, 130, 180)), ("car", (0, 0, 142)),
])  # fmt: skip
"""The classes and their colours, as Cityscapes paints them (vegetation and sidewalk under shorter names)."""
ROAD, PAVEMENT, BUILDING, TREE, SKY, CAR = range(6)


def street(domain: str, seed: int, size: int) -> Array:
    """float32 [size,size,3] in [-1, 1]: the map of classes ("A") or the photo ("B") of street `seed`."""
    classes, photo = _drawn(np.random.default_rng([seed, 0x57EE7]), 2 * size)  # twice the size, for soft edges
    if domain == "A":
        return (CLASSES.colours[classes[::2, ::2]] / 127.5 - 1).astype(np.float32)
    soft = photo.reshape(size, 2, size, 2, 3).mean(axis=(1, 3))  # [size,size,3]
    return (soft * 2 - 1).clip(-1, 1).astype(np.float32)


def _drawn(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Class numbers [size,size] and colours [size,size,3] in [0, 1], painted from far to near."""
    x, y = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)  # [size,size], x right, y down, 0 to 1
    horizon, middle = rng.uniform(0.40, 0.52), rng.uniform(0.38, 0.62)
    light = rng.uniform(0.85, 1.08)
    grain = noise(rng, 60, 60, x, y) - 0.5
    classes = np.full(x.shape, SKY)
    picture = mix((0.45, 0.65, 0.88), (0.86, 0.91, 0.95), y / horizon)
    cloud = np.clip(2.2 * noise(rng, 4, 6, x, y) - 1.2, 0, 1)
    picture = mix(picture, (0.97, 0.97, 0.96), cloud)

    def put(inside: Array, kind: int, colour: Array) -> None:
        classes[inside] = kind
        picture[inside] = np.broadcast_to(colour, picture.shape)[inside]

    edge = 0.0  # houses stand side by side behind the horizon
    while edge < 1:
        width, top = rng.uniform(0.14, 0.30), horizon - rng.uniform(0.10, 0.34)
        brick = np.array(rng.choice([(0.62, 0.36, 0.28), (0.74, 0.64, 0.50), (0.60, 0.57, 0.54), (0.70, 0.50, 0.36)]))
        wall = (x >= edge) & (x < edge + width) & (y >= top) & (y < horizon + 0.02)
        u, v = (x - edge) / width * 3 % 1, (y - top) / 0.085 % 1  # three windows to a floor
        window = (u > 0.28) & (u < 0.72) & (v > 0.3) & (v < 0.8)
        courses = 0.06 * ((y * 90) % 1 < 0.25)
        face = brick * (1 - courses + 0.10 * grain)[..., None]
        put(wall, BUILDING, np.where(window[..., None], np.array((0.20, 0.25, 0.32)) + 0.12 * (1 - v)[..., None], face))
        edge += width + (rng.uniform(0.03, 0.10) if rng.random() < 0.35 else 0.0)

    down = np.clip((y - horizon) / (1 - horizon), 0, 1)  # 0 at the horizon, 1 at our feet
    flags = 0.05 * (((x - middle) / (0.06 + down) * 6 % 1 < 0.08) | (np.log(down + 0.08) * 5 % 1 < 0.12))
    put(y >= horizon, PAVEMENT, np.array((0.74, 0.71, 0.66)) * (1 - flags + 0.10 * grain)[..., None])
    half = 0.05 + 0.46 * down  # half the road's width
    across = (x - middle) / half
    asphalt = np.array((0.34, 0.34, 0.36)) * (1.1 - 0.15 * down + 0.22 * grain)[..., None]
    dash = (np.abs(across) < 0.035) & (np.log(down + 0.06) * 4 % 1 < 0.5)
    put((y >= horizon) & (np.abs(across) < 1), ROAD, np.where(dash[..., None], 0.92, asphalt))

    for side in (-1, 1):  # trees on the pavements, the far ones first
        for depth in np.sort(rng.uniform(0.05, 0.55, rng.integers(1, 4))):
            foot, reach = horizon + depth * (1 - horizon), 0.05 + 0.13 * depth
            stem = middle + side * (0.05 + 0.46 * depth + 0.10 + 0.3 * depth)
            trunk = (np.abs(x - stem) < 0.16 * reach) & (y < foot) & (y > foot - 2 * reach)
            put(trunk, TREE, np.array((0.33, 0.24, 0.17)))
            wobble = reach * (0.85 + 0.5 * noise(rng, 12, 12, x, y))
            crown = np.hypot(x - stem, (y - foot + 2.6 * reach) * 0.85) < wobble
            leaves = noise(rng, 45, 45, x, y)
            put(crown, TREE, mix((0.13, 0.28, 0.10), (0.42, 0.58, 0.22), 0.75 * leaves + 0.4 * (foot - 2 * reach - y)))

    for lane in rng.permutation([-0.5, 0.5])[: rng.integers(1, 3)]:  # at most one car in a lane
        depth = rng.uniform(0.15, 0.75)
        foot, wide = horizon + depth * (1 - horizon), 0.3 * (0.05 + 0.46 * depth)
        u, v = (x - middle - lane * (0.05 + 0.46 * depth)) / wide, (foot - y) / wide  # -1 to 1 across, up from the road
        shadow = (np.abs(u) < 1.15) & (np.abs(v) < 0.16) & (classes == ROAD)
        picture[shadow] *= 0.55
        paint = np.array(rng.choice([(0.75, 0.12, 0.10), (0.90, 0.90, 0.88), (0.12, 0.22, 0.52), (0.95, 0.75, 0.15)]))
        body = (np.abs(u) < 1 - 0.08 * v) & (v > 0.08) & (v < 0.80)
        cabin = (np.abs(u) < 0.92 - 0.35 * (v - 0.8)) & (v >= 0.80) & (v < 1.35)
        put(body, CAR, paint * (0.75 + 0.3 * v)[..., None])
        glass = (np.abs(u) < 0.78 - 0.35 * (v - 0.8)) & (v > 0.86) & (v < 1.25)
        put(cabin, CAR, np.where(glass[..., None], np.array((0.16, 0.20, 0.25)), paint))
        for end in (-0.75, 0.75):
            put((np.abs(u - end) < 0.2) & (v >= -0.05) & (v < 0.22), CAR, np.array((0.08, 0.08, 0.09)))
            put((np.abs(u - end) < 0.14) & (v > 0.48) & (v < 0.62), CAR, np.array((0.98, 0.30, 0.22)))
    return classes, picture * light * (1 + 0.06 * grain[..., None])
