"""Built-in pictures: a brown horse on grass (domain A), a zebra on dry ground (domain B), drawn by formula.

Scene `seed` of A and scene `seed` of B share everything but the paint: pose, place, hills, light and ground texture.
So a run needs no download, and training on unpaired scenes can be *measured* against the true partner.
Nothing in the paint is hidden: stripes follow the body's own coordinates, and a darker coat means broader stripes.

The animal is a smooth union of round cones (capsules with two radii) given by signed distances, which makes edges
anti-aliased at any size without drawing larger first. Local units: the torso is about 1 long, feet at y = 0, y up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Point = tuple[float, float]
Array = np.ndarray
STRIPES = 4.2  # to a unit of length: wide enough to be seen, and learned, at 64 pixels


def scene(domain: str, seed: int, size: int) -> Array:
    """float32 [size,size,3] in [-1, 1]; domain is "A" or "B". The same arguments always give the same picture."""
    return painted(PAINT[domain], seed, size)


def painted(paint: dict[str, Any], seed: int, size: int) -> Array:
    """Scene `seed` in the colours of `paint`; a "coat" is a pair of colours, from light to dark, or None for stripes."""
    rng = np.random.default_rng([seed, 0x5CE4E])
    x, y = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)  # [size,size], x right, y down, 0 to 1
    horizon = rng.uniform(0.26, 0.42)
    hills = horizon - 0.07 * _noise(rng, 5, 1, x, x * 0) - 0.02
    streaks = _noise(rng, 30, 12, x, y)
    meadow = _noise(rng, 4, 6, x, y)
    light = rng.uniform(0.86, 1.06)
    lift = rng.uniform(-0.35, 1.1)  # the neck's angle, radians above horizontal: grazing … alert

    down = np.clip((y - horizon) / (1 - horizon), 0, 1)  # 0 at the horizon, 1 at our feet
    picture = _mix(paint["sky_top"], paint["sky_low"], np.clip(y / horizon, 0, 1))
    picture = _over(picture, _mix(paint["hill"], paint["hill_low"], (y - hills) * 8), (y - hills) * size)
    ground = _mix(paint["far"], paint["near"], down)
    ground = ground + (paint["texture"] * (streaks - 0.5) * (0.3 + 0.7 * down) + 0.10 * (meadow - 0.5))[..., None]
    picture = _over(picture, ground, (y - horizon) * size)

    # Where the animal stands: local coordinates, mirrored when it looks left.
    scale = rng.uniform(0.40, 0.52)
    facing = rng.choice([-1.0, 1.0])
    balance = 0.06 + 0.24 * np.cos(lift)  # the middle between tail and nose
    centre, feet = rng.uniform(0.44, 0.56) - balance * facing * scale, rng.uniform(0.82, 0.94)
    lx, ly = (x - centre) * facing / scale, (feet - y) / scale
    pixel = 1 / (size * scale)  # one pixel in local units

    shadow = np.hypot((lx - 0.05) / 0.72, (ly - 0.02) / 0.09)
    picture = picture * (1 - 0.38 * np.clip(1.5 - shadow, 0, 1))[..., None]
    return (_animal(picture, paint, rng, lift, lx, ly, pixel) * light * 2 - 1).clip(-1, 1).astype(np.float32)


PAINT: dict[str, dict[str, Any]] = {
    "A": {
        "sky_top": (0.42, 0.66, 0.90), "sky_low": (0.80, 0.90, 0.97), "hill": (0.30, 0.48, 0.40),
        "hill_low": (0.42, 0.58, 0.44), "far": (0.46, 0.62, 0.25), "near": (0.22, 0.47, 0.12), "texture": 0.26,
        "coat": ((0.66, 0.40, 0.20), (0.36, 0.19, 0.10)), "dark": (0.17, 0.10, 0.07),
    },
    "B": {
        "sky_top": (0.66, 0.76, 0.84), "sky_low": (0.97, 0.90, 0.76), "hill": (0.62, 0.48, 0.42),
        "hill_low": (0.72, 0.58, 0.46), "far": (0.88, 0.76, 0.53), "near": (0.77, 0.58, 0.33), "texture": 0.14,
        "coat": None, "dark": (0.10, 0.09, 0.10),
    },
}  # fmt: skip


def _animal(
    picture: Array, paint: dict[str, Any], rng: np.random.Generator, lift: float, lx: Array, ly: Array, pixel: float
) -> Array:
    """Paints the animal over `picture` [size,size,3], far legs first."""
    coat = rng.uniform(0.0, 1.0)  # 0 light chestnut … 1 dark bay; in B: the share of black in the stripes
    build = rng.uniform(0.92, 1.08)  # slim … stout
    stride = rng.uniform(0.05, 0.30)
    gait = rng.uniform(0, 2 * np.pi)
    wag = rng.uniform(-0.1, 0.25)

    striped = paint["coat"] is None
    light, deep = paint["coat"] or (np.zeros(3),) * 2
    plain = _mix(light, deep, np.full(lx.shape, coat))
    black, white = np.array((0.10, 0.09, 0.10)), np.array((0.95, 0.93, 0.88))
    dark = np.array(paint["dark"])

    def coated(u: Array, shade: Array) -> Array:
        """The coat: plain, or striped across u, in local units."""
        if not striped:
            return plain * shade[..., None]
        slope = 0.8 / max(2 * np.pi * STRIPES * pixel, 0.4)  # soft edges, about a pixel wide
        ink = np.clip(0.5 + slope * (np.cos(2 * np.pi * STRIPES * u) + 0.7 * (coat - 0.5)), 0, 1)
        return _mix(white, black, ink) * (0.35 + 0.65 * shade)[..., None]

    def put(distance: Array, colour: Array, opacity: Array | float = 1.0) -> None:
        nonlocal picture
        picture = _over(picture, colour, -distance / pixel, opacity)

    def leg(hip: Point, phase: float, hind: bool, shade: float) -> None:
        swing = stride * np.sin(gait + phase)
        bend = 0.5 * stride * max(0.0, np.cos(gait + phase))
        knee = (hip[0] + 0.55 * swing + (0.03 if hind else 0.02), 0.38 + 0.3 * bend)
        foot = (hip[0] + swing - bend - (0.06 if hind else 0.0), 0.04 + 0.5 * bend)
        upper, along, _ = _cone(lx, ly, hip, knee, 0.14 * build, 0.065)
        lower, below, _ = _cone(lx, ly, knee, foot, 0.062, 0.045)
        shape = _union(upper, lower, 0.04)
        u = np.where(upper < lower, along, 0.40 + below) + 0.1
        put(shape, coated(u, np.full(lx.shape, shade)), np.clip((0.80 - ly) / 0.18, 0, 1))  # grows out of the torso
        hoof = _cone(lx, ly, (foot[0] - 0.005, foot[1]), (foot[0] + 0.03, foot[1] - 0.02), 0.05, 0.045)[0]
        put(hoof, dark * shade)

    leg((-0.36, 0.74), 0.4, True, 0.72)
    leg((0.33, 0.70), 3.4, False, 0.72)

    rump = (-0.44, 0.86)
    tip = (-0.66 - wag, 0.42)
    tail = _cone(lx, ly, rump, (-0.60 - 0.4 * wag, 0.78), 0.06, 0.045)[0]
    tail = _union(tail, _cone(lx, ly, (-0.60 - 0.4 * wag, 0.78), tip, 0.04, 0.065)[0], 0.03)
    put(tail, np.broadcast_to(dark, picture.shape))

    # Torso, neck and head grow into each other.
    root = (0.36, 0.86)
    poll = (root[0] + 0.62 * np.cos(lift), root[1] + 0.62 * np.sin(lift))  # top of the neck
    nod = lift - 1.45 if lift > 0 else lift - 0.9
    nose = (poll[0] + 0.34 * np.cos(nod), poll[1] + 0.34 * np.sin(nod))
    ahead = np.array((np.cos(lift), np.sin(lift)))
    crest = np.array((-ahead[1], ahead[0]))  # towards the mane
    for back in (0.05, -0.03):
        base = (poll[0] - 0.02 + back * ahead[0], poll[1] + back * ahead[1])
        point = (base[0] + 0.16 * crest[0] + 0.10 * ahead[0], base[1] + 0.16 * crest[1] + 0.10 * ahead[1])
        put(_cone(lx, ly, base, point, 0.055, 0.012)[0], coated(lx * 0, np.full(lx.shape, 0.9)) if back < 0 else
            np.broadcast_to(dark, picture.shape))  # fmt: skip
    ridge = 0.10 * crest
    mane = _cone(lx, ly, tuple(root + 1.2 * ridge), tuple(poll + 0.5 * ridge), 0.10, 0.085)
    put(mane[0], coated(mane[1] * 0.9 + 0.05, np.full(lx.shape, 0.8)) if striped else
        np.broadcast_to(dark, picture.shape))  # fmt: skip

    torso, _, side = _cone(lx, ly, (-0.36, 0.82), (0.30, 0.80), 0.235 * build, 0.25 * build)
    neck, up, over = _cone(lx, ly, root, poll, 0.19, 0.10)
    head, snout, brow = _cone(lx, ly, poll, nose, 0.115, 0.062)
    shape = _union(_union(torso, neck, 0.10), head, 0.03)
    parts = np.stack([torso, neck, head])  # [3,size,size]
    weight = np.exp(-(parts - parts.min(0)) / 0.025)
    weight /= weight.sum(0)
    bow = lx + 0.35 * np.minimum(lx + 0.1, 0) * (ly - 0.9)  # stripes lean over the rump
    u = np.stack([bow, up + 0.34, snout + 1.0])
    round_ = np.stack([side / 0.25, over / 0.16, brow / 0.1])  # -1 at the belly … 1 at the back
    shade = 0.98 + 0.22 * np.clip((weight * round_).sum(0), -1, 1)
    colours = np.stack([coated(part, shade) for part in u])  # [3,size,size,3]
    body = (weight[..., None] * colours).sum(0)
    body = _over(body, np.broadcast_to(dark, body.shape), np.minimum(snout - 0.27, 0.03 - head) / pixel)  # muzzle
    put(shape, body)

    leg((-0.40, 0.72), 3.9, True, 0.95)
    leg((0.30, 0.70), 0.0, False, 0.95)
    eye = np.hypot(lx - (poll[0] * 0.72 + nose[0] * 0.28), ly - (poll[1] * 0.72 + nose[1] * 0.28) - 0.02) - 0.022
    put(eye, np.broadcast_to(black, picture.shape))
    return picture


def _cone(x: Array, y: Array, a: Point, b: Point, ra: float, rb: float) -> tuple[Array, Array, Array]:
    """A round cone from a to b: approximate signed distance, position along the axis, signed offset to its left."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = float(np.hypot(dx, dy))
    along = ((x - a[0]) * dx + (y - a[1]) * dy) / length
    offset = (-(x - a[0]) * dy + (y - a[1]) * dx) / length
    t = np.clip(along / length, 0, 1)
    return np.hypot(along - t * length, offset) - (ra + (rb - ra) * t), along, offset


def _union(a: Array, b: Array, k: float) -> Array:
    """Smooth minimum of two distances: shapes closer than k flow together (the polynomial form of I. Quilez)."""
    h = np.clip(0.5 + 0.5 * (b - a) / k, 0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def _noise(rng: np.random.Generator, columns: int, rows: int, x: Array, y: Array) -> Array:
    """Smooth value noise in [0, 1]: a random lattice, interpolated; the same at every picture size."""
    lattice = rng.random((rows + 2, columns + 2))
    i, j = (y * rows).astype(int), (x * columns).astype(int)
    v, u = y * rows - i, x * columns - j
    v, u = v * v * (3 - 2 * v), u * u * (3 - 2 * u)
    top = lattice[i, j] * (1 - u) + lattice[i, j + 1] * u
    return top * (1 - v) + (lattice[i + 1, j] * (1 - u) + lattice[i + 1, j + 1] * u) * v


def _mix(a, b, t: Array) -> Array:
    """Colours a to b by t [size,size] in [0, 1] → [size,size,3]."""
    t = np.clip(t, 0, 1)[..., None]
    return np.asarray(a) * (1 - t) + np.asarray(b) * t


def _over(below: Array, above: Array, inside: Array, opacity: Array | float = 1.0) -> Array:
    """Paints above over below; inside is the depth in pixels, 0 on the edge: coverage runs over one pixel."""
    cover = (np.clip(inside + 0.5, 0, 1) * opacity)[..., None]
    return below * (1 - cover) + above * cover
