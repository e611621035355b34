"""The built-in pictures: reproducible, alignable, and different where they should be."""

import numpy as np
import pytest

from train.data.builtin.scenes import scene


@pytest.mark.parametrize("domain", ["A", "B"])
def test_a_scene_is_a_pure_function_of_its_arguments(domain):
    first = scene(domain, 7, 48)
    np.random.seed(0)
    assert first.dtype == np.float32 and first.shape == (48, 48, 3) and abs(first).max() <= 1
    np.testing.assert_array_equal(first, scene(domain, 7, 48))
    assert abs(first - scene(domain, 8, 48)).mean() > 0.05


def test_the_same_seed_is_the_same_picture_at_every_size():
    small, large = scene("B", 3, 32), scene("B", 3, 128)
    reduced = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert abs(small - reduced).mean() < 0.05 < abs(small - scene("B", 4, 32)).mean()
    steps = [abs(np.diff(x[..., 0], axis=1)).max() for x in (large, scene("B", 3, 256))]
    assert min(steps) > 1.2  # edges stay a pixel wide


def test_partners_share_their_outlines():
    """Where A has edges, B has: far more so for partners than for strangers."""

    def outline(x):
        gray = x.mean(-1)
        return abs(np.diff(gray, axis=0))[:, :-1] + abs(np.diff(gray, axis=1))[:-1]

    def likeness(a, b):
        return np.corrcoef(outline(a).ravel(), outline(b).ravel())[0, 1]

    a, b = ([scene(d, s, 64) for s in range(12)] for d in "AB")
    partners = np.mean([likeness(a[i], b[i]) for i in range(12)])
    strangers = np.mean([likeness(a[i], b[(i + 1) % 12]) for i in range(12)])
    assert partners > 0.35 and partners > strangers + 0.15, (partners, strangers)


def test_domains_look_like_what_they_are():
    """Grass is green and dry ground is not; the striped animal holds near-black beside near-white."""
    a, b = (np.stack([scene(d, s, 64) for s in range(12)]) for d in "AB")
    ground_a, ground_b = a[:, -6:].mean((0, 1, 2)), b[:, -6:].mean((0, 1, 2))
    assert ground_a[1] > ground_a[0] + 0.2 and ground_b[0] > ground_b[1] > ground_b[2]
    middle = b[:, 24:52, 16:48].mean(-1)
    jumps = abs(np.diff(middle, axis=2)).mean()
    assert jumps > 2 * abs(np.diff(a[:, 24:52, 16:48].mean(-1), axis=2)).mean()
    assert middle.min() < -0.6 and middle.max() > 0.5


def test_the_baselines_are_where_the_documents_say():
    """L1 on a scale of 0 to 1: the untouched picture about .2, the mean picture about .12."""
    a, b = (np.stack([scene(d, s, 32) for s in range(24)]) for d in "AB")
    assert 0.15 < abs(a - b).mean() / 2 < 0.27
    assert 0.08 < abs(b - b.mean(0)).mean() / 2 < 0.15
