"""Does a trained model hide information, and does its code do anything? The figures; train/probe.py says what each means."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from train.config.settings import Config
from train.data.builtin.colours import chroma, masks
from train.data.dataset import Sample
from train.data.opening import opened
from train.data.pixels import to_uint8
from train.data.plain import paired_test
from train.models.model import Rows

NOISE = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0)  # standard deviations, of 255
CODES, CYCLES = 8, 4
BACK = "|B - back|"
Array = np.ndarray


def probe(model: Any, config: Config, pairs: Sequence[Sample]) -> dict[str, Any]:
    """All figures on test images. Pictures go one by one, for they may differ in size."""
    rng = np.random.default_rng(0)
    damage: dict[str, list[float]] = {}
    texture: dict[str, list[float]] = {"real A": [], "fake A": []}
    variety: dict[str, list[float]] = {"of real A": [], "of fake A": []}
    for pair in pairs:
        b = pair.b[None]
        fake = model.translate(b, "BtoA")
        code = codes_back(model, b, fake)
        trials = {f"noise {sigma:g}": fake + rng.normal(0, sigma / 127.5, fake.shape) for sigma in NOISE}
        trials |= {"8 bit": stored(fake, 0), "JPEG 95": stored(fake, 95), "JPEG 75": stored(fake, 75)}
        for name, trial in trials.items():
            back = paint(model, np.clip(trial, -1, 1).astype(np.float32), code)
            damage.setdefault(name, []).append(float(np.abs(b - back).mean() * 127.5))
        texture["real A"].append(high_frequencies(pair.a))
        texture["fake A"].append(high_frequencies(fake[0]))
        for name, start in (("of real A", pair.a[None]), ("of fake A", fake)):
            variety[name].append(spread(painted(model, start)))
        if model.takes_code("BtoA"):
            made = [model.translate(b, "BtoA", z)[0] for z in model.codes(CODES, seed=2)[:, None]]
            variety.setdefault("of real B, codes of A", []).append(spread(made))
    found: dict[str, Any] = {
        BACK: mean(damage), "texture": mean(texture), "variety": mean(variety), "images": len(pairs),
    }  # fmt: skip
    if not config.dataroot and config.builtin == "colours" and config.direction == "AtoB":
        found["hues"] = hue_spread(model, pairs)
        found["hues kept"] = hues_kept(model, pairs)
    true = paired_test(config, len(pairs)) if model.takes_code("AtoB") else None
    if true:
        found["true pairs"] = told_of_pairs(model, true, "hues" in found)
    return found


def paint(model: Any, a: Array, code: Array | None) -> Array:
    """a [1,H,W,C] as B, with the code where the model takes one."""
    return model.translate(a, "AtoB") if code is None else model.translate(a, "AtoB", code)


def codes_back(model: Any, b: Array, fake: Array) -> Array | None:
    """The code with which the fake A should return to b, None for a model without codes."""
    return model.style(b, fake) if model.takes_code("AtoB") else None


def painted(model: Any, a: Array) -> list[Array]:
    """a [1,H,W,C] with each of several codes; the same again and again where there are none."""
    codes = model.codes(CODES, seed=2)[:, None] if model.takes_code("AtoB") else [None] * CODES
    return [paint(model, a, code)[0] for code in codes]


def spread(pictures: Sequence[Array]) -> float:
    """Mean difference between two of the pictures, of 255."""
    differences = [np.abs(x - y).mean() for i, x in enumerate(pictures) for y in pictures[:i]]
    return float(np.mean(differences) * 127.5)


def stored(x: Array, quality: int) -> Array:
    """x [1,H,W,C] rounded to 8 bits, and through a JPEG of that quality unless it is 0. What a JPEG has no room for, beyond
    gray or three colours, is rounded only."""
    pixels = to_uint8(x[0])
    if quality:
        file, shown = io.BytesIO(), 3 if pixels.shape[-1] >= 3 else 1
        picture = pixels[..., 0] if shown == 1 else pixels[..., :shown]
        Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
        with opened(Path("a picture"), file.getvalue()) as image:
            pixels[..., :shown] = np.asarray(image).reshape(*pixels.shape[:2], shown)
    return pixels[None].astype(np.float32) / 127.5 - 1


def high_frequencies(x: Array) -> float:
    """Share of the energy of x [H,W,C], apart from its mean, at half the highest frequency and above in either direction."""
    power = np.abs(np.fft.fft2(x - x.mean((0, 1)), axes=(0, 1))) ** 2
    fy, fx = (np.abs(np.fft.fftfreq(n)) for n in x.shape[:2])
    high = np.maximum(fy[:, None], fx[None, :]) >= 0.25  # the highest is 0.5
    return float(power[high].sum() / max(power.sum(), 1e-12))


def hue_spread(model: Any, pairs: Sequence[Sample]) -> dict[str, float]:
    """Circular variance of the animal's and the ground's hue over codes, mean over pictures; and of the true Bs."""
    spreads: dict[str, list[float]] = {}
    true: dict[str, list[complex]] = {}
    for pair in pairs:
        made = painted(model, pair.a[None])
        for part, mask in masks(int(pair.name_a.rpartition("_")[2]), pair.a.shape[0]).items():
            spreads.setdefault(part, []).append(variance_of_angles([chroma(b, mask) for b in made]))
            true.setdefault(part, []).append(chroma(pair.b, mask))
    return mean(spreads) | {f"{part}, true Bs": variance_of_angles(values) for part, values in true.items()}


def hues_kept(model: Any, pairs: Sequence[Sample]) -> dict[str, float]:
    """Mean cosine of the angle between a B's hue and that of its way back, with a code that knows nothing of the B."""
    rng = np.random.default_rng(1)
    kept: dict[str, list[float]] = {}
    for i, pair in enumerate(pairs):
        fake = model.translate(pair.b[None], "BtoA")
        code = model.codes(1, seed=100 + i) if model.takes_code("AtoB") else None
        trials = {"": fake, ", noise 5": fake + rng.normal(0, 5 / 127.5, fake.shape), ", JPEG 75": stored(fake, 75)}
        for how, trial in trials.items():
            back = paint(model, np.clip(trial, -1, 1).astype(np.float32), code)[0]
            for part, cosine in turned(back, pair).items():
                kept.setdefault(part + how, []).append(cosine)
    return mean(kept)


def turned(made: Array, pair: Sample) -> dict[str, float]:
    """The cosine of the angle between the true hue and that of `made`, for each part of a built-in picture in colours."""
    found = {}
    for part, mask in masks(int(pair.name_a.rpartition("_")[2]), pair.a.shape[0]).items():
        angle = chroma(made, mask) * chroma(pair.b, mask).conjugate()
        found[part] = angle.real / max(abs(angle), 1e-12)
    return found


def told_of_pairs(model: Any, pairs: Sequence[Sample], coloured: bool) -> dict[str, float]:
    """A -> B beside the true B, with the code that is read from the two and with one that knows nothing of them."""
    found: dict[str, list[float]] = {}
    for i, pair in enumerate(pairs):
        a, b = pair.a[None], pair.b[None]
        for how, code in (("its code", model.style(b, a)), ("another code", model.codes(1, seed=100 + i))):
            made = paint(model, a, code)[0]
            found.setdefault(f"off, {how}", []).append(float(np.abs(made - pair.b).mean() * 127.5))
            for part, cosine in (turned(made, pair) if coloured else {}).items():
                found.setdefault(f"{part}, {how}", []).append(cosine)
    return mean(found)


def variance_of_angles(values: Sequence[complex]) -> float:
    """1 - |mean direction|: 0 where all angles agree, near 1 where they go round the circle."""
    return float(1 - abs(np.mean([v / max(abs(v), 1e-12) for v in values])))


def mean(columns: dict[str, list[float]]) -> dict[str, float]:
    return {name: float(np.mean(values)) for name, values in columns.items()}


def rows(model: Any, pairs: Sequence[Sample]) -> Rows:
    """Each A with several codes, then each B there and back again and again, with a fresh code each time."""
    grid: Rows = []
    for pair in pairs:
        made = painted(model, pair.a[None])
        named = (
            {f"code {i + 1}": b for i, b in enumerate(made[:CYCLES])}
            if model.takes_code("AtoB")
            else {"fake B": made[0]}
        )
        grid.append({"real A": pair.a} | named)
    for pair in pairs:
        row, b = {"real B": pair.b}, pair.b[None]
        for i in range(CYCLES):
            a = model.translate(b, "BtoA")
            b = paint(model, a, model.codes(1, seed=10 + i) if model.takes_code("AtoB") else None)
            row |= {f"A {i + 1}": a[0], f"B {i + 1}": b[0]}
        grid.append(row)
    return grid


def table(found: dict[str, Any]) -> str:
    """The figures in lines."""
    lines = []
    for title, figures in found.items():
        if isinstance(figures, dict):
            lines.append(title)
            lines += [f"  {name:22} {value:8.3f}" for name, value in figures.items()]
    return "\n".join(lines)
