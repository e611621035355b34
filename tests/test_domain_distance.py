"""The domain distance: its formula against the matrix square root, and that it orders sets of pictures sensibly."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from train.data.builtin.scenes import scene
from train.evaluation import domain_distance
from train.evaluation.domain_distance import DomainDistance, frechet


def scenes(domain: str, count: int, first: int, size: int = 64) -> np.ndarray:
    return np.stack([scene(domain, first + i, size) for i in range(count)])


@pytest.fixture(scope="module")
def brief():
    """A shorter training for the tests: enough to tell brown animals from striped ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(domain_distance, "STEPS", 40)
        yield


@pytest.fixture(scope="module")
def distance(brief) -> DomainDistance:
    return DomainDistance(scenes("A", 40, 0), scenes("B", 40, 1000))


def test_frechet_is_the_formula() -> None:
    """Full-rank covariances, where the matrix square root itself is safe."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, 2, (50, 5)) @ rng.normal(size=(5, 5)), rng.normal(3, 1, (30, 5)) @ rng.normal(size=(5, 5))
    s1, s2 = np.cov(x.T), np.cov(y.T)
    square = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(s1 + s2 - 2 * scipy.linalg.sqrtm(s1 @ s2).real)
    assert frechet(x, y) == pytest.approx(np.sqrt(square / 5), rel=1e-9)
    assert frechet(x, x[::-1]) == pytest.approx(0, abs=1e-6)
    assert frechet(x, x + 1) == pytest.approx(1)


def test_real_pictures_are_near_and_worse_ones_farther(distance) -> None:
    real, other = scenes("B", 24, 5000), scenes("A", 24, 5000)
    rng = np.random.default_rng(0)
    noisy = [np.clip(real + s * rng.standard_normal(real.shape), -1, 1).astype(np.float32) for s in (0.3, 0.6)]
    mixed = [(1 - t) * real + t * other for t in (0.25, 0.5)]
    far, near = distance(other, "B"), distance(real, "B")
    assert near < 1 and far > 5 * near
    for worse in (noisy, mixed):
        assert near < distance(worse[0], "B") < distance(worse[1], "B") < far
    assert distance(np.repeat(real[:1], 24, axis=0), "B") > near  # all alike: the mode collapse
    assert distance(other, "A") < distance(real, "A")
    assert distance.accuracy(other, real) > 0.9


def test_same_data_same_distance_and_gray_and_any_size(distance) -> None:
    again = DomainDistance(scenes("A", 40, 0), scenes("B", 40, 1000))
    gray = [x.mean(axis=-1, keepdims=True)[: 40 + i] for i, x in enumerate(scenes("B", 4, 9000, 80))]
    assert again(gray, "B") == distance(gray, "B") > 0


def test_the_cache_serves_the_same_images_only(distance, brief, tmp_path, monkeypatch) -> None:
    a, b, cache = scenes("A", 40, 0), scenes("B", 40, 1000), tmp_path / "classifier.npz"
    assert DomainDistance(a, b, cache=cache)(b, "A") == distance(b, "A")
    calls: list[int] = []
    monkeypatch.setattr(domain_distance, "train_classifier", lambda *_: calls.append(1))
    assert DomainDistance(a, b, cache=cache)(b, "A") == distance(b, "A")
    assert not calls
    DomainDistance(a, b[:-1], cache=cache)
    DomainDistance(a, b, seed=1, cache=cache)
    cache.write_bytes(b"torn")
    DomainDistance(a, b, cache=cache)
    (tmp_path / "in the way").write_text("")
    DomainDistance(a, b, cache=tmp_path / "in the way" / "classifier.npz")  # cannot be kept: no matter
    assert len(calls) == 4
