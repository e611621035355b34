"""How wrong a variance is when it is computed in one pass; and that a normalised picture has forgotten its brightness."""

from __future__ import annotations

import numpy as np

from kernels.instance_norm import reference as instance_norm
from kernels.instance_norm.settings import NormSettings
from lessons.c07_convolution.experiment import scene
from lessons.parts import Part, Pictures, Table

MEANS = (0, 1, 10, 100, 1000, 10000)


def one_pass(x: np.ndarray) -> np.ndarray:
    """E[x²] - E[x]²"""
    return instance_norm.pixel_mean(x * x) - instance_norm.pixel_mean(x) ** 2


def two_passes(x: np.ndarray) -> np.ndarray:
    """E[(x - E[x])²]"""
    centred = x - instance_norm.over_pixels(instance_norm.pixel_mean(x))
    return instance_norm.pixel_mean(centred * centred)


def worst(variance, mean: float) -> float:
    """The largest error of float32 variances near 1, over twenty pictures of 64×64."""
    x = np.random.default_rng(0).standard_normal((20, 64, 64, 1)) + mean
    true = x.var(axis=(1, 2))
    return float(abs(variance(x.astype(np.float32)) - true).max())


def show() -> list[Part]:
    """A table and pictures."""
    rows = [(mean, f"{worst(one_pass, mean):.0e}", f"{worst(two_passes, mean):.0e}") for mean in MEANS]
    picture = scene(24)[None, :, :, None]
    kinds = {"as it is": picture, "brighter by 0.4": picture + 0.4, "half the contrast": 0.5 * picture}
    normal = {name: instance_norm.forward(x, norm=NormSettings())[0][0, :, :, 0] for name, x in kinds.items()}
    apart = max(float(abs(x - normal["as it is"]).max()) for x in normal.values())
    return [
        Table("Error of a float32 variance whose true value is 1", ("mean of the picture", "E[x²] - E[x]²", "two passes"), rows),
        Pictures("Three pictures", {name: x[0, :, :, 0] for name, x in kinds.items()}, scale=6),
        Pictures("The same, normalised", normal, low=-2.5, high=2.5, scale=6, note=f"Largest difference between them: {apart:.0e}."),
    ]  # fmt: skip
