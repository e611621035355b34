"""What a score sees: the box on paper, and the gradient in fact."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import Tensor, no_grad
from autograd import ops as F
from nn import PatchDiscriminator, PixelDiscriminator
from train.evaluation.receptive_field import nominal, outside, score_gradients


@pytest.mark.parametrize(("layers", "size", "step"), [(1, 16, 2), (2, 34, 4), (3, 70, 8)])
def test_the_nominal_box(layers: int, size: int, step: int):
    """Without norms nothing outside of it moves a score, and its corners do."""
    disc = PatchDiscriminator(ndf=2, n_layers=layers)
    field = nominal(disc)
    assert (field.size, field.step) == (size, step)
    side = size + 4 * step
    x = Tensor(np.random.default_rng(0).normal(size=(1, side, side, 3)).astype(np.float32), requires_grad=True)
    h = x
    for _, layer in disc.model.children():
        if hasattr(layer, "geometry"):
            h = F.conv2d(h, Tensor(abs(layer.weight.data)), **layer.geometry)  # type: ignore[attr-defined]
    i = h.shape[1] // 2
    one = np.zeros(h.shape, np.float32)
    one[0, i, i + 1] = 1
    h.backward(one)
    assert x.grad is not None
    rows, columns = (np.flatnonzero(x.grad[0].any(axis=axes)) for axes in ((1, 2), (0, 2)))
    for seen, k in ((rows, i), (columns, i + 1)):
        box = field.rows(k, side)
        assert (seen[0], seen[-1] + 1) == (box.start, box.stop)


def test_a_pixel_discriminator_sees_a_pixel():
    assert (nominal(PixelDiscriminator(ndf=2)).size, nominal(PixelDiscriminator(ndf=2)).step) == (1, 1)


def test_the_measured_gradient_is_what_pixels_do():
    disc = PatchDiscriminator(ndf=2, n_layers=1, seed=3)
    disc.astype("float64")
    x = np.random.default_rng(1).normal(size=(1, 16, 16, 3))
    places = [(0, 0), (3, 2), (5, 5)]
    maps = score_gradients(disc, x, places)
    assert maps.shape == (3, 16, 16) and all(p.grad is None and p.requires_grad for p in disc.parameters())
    for row, column in ((0, 0), (7, 9), (15, 3)):
        slopes = np.zeros((3, 3))
        for channel in range(3):
            ends = []
            for h in (1e-5, -1e-5):
                moved = x.copy()
                moved[0, row, column, channel] += h
                with no_grad():
                    ends.append(disc(Tensor(moved)).numpy()[0, :, :, 0])
            slopes[channel] = [(ends[0] - ends[1])[i, j] / 2e-5 for i, j in places]
        assert np.abs(np.abs(slopes).sum(axis=0) - maps[:, row, column]).max() < 1e-6
    share = outside(maps[1], nominal(disc), 3, 2)
    box = nominal(disc)
    inside = maps[1][box.rows(3, 16), box.rows(2, 16)].sum()
    assert abs(share - (1 - inside / maps[1].sum())) < 1e-12
    assert outside(np.ones((64, 64)), box, 10, 10) == 1 - 16 * 16 / 64**2
