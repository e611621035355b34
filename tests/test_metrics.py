"""Scores against their definitions, written out the slow way, and against values known by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import correlate

from train.evaluation.metrics import as_loss, format_scores, l1, paired_scores, psnr, retrieval, ssim


def pictures(n: int = 5, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, 20, 17, channels)).astype(np.float32)


def test_l1_is_in_the_scale_zero_to_one() -> None:
    black, white = np.full((2, 4, 4, 3), -1, np.float32), np.full((2, 4, 4, 3), 1, np.float32)
    assert l1(black, white) == 1
    assert l1(white, white) == 0
    assert l1(black[0], black[0] + 0.5) == 0.25


def test_psnr_by_hand() -> None:
    x = np.zeros((2, 4, 4, 1), np.float32)
    y = x.copy()
    y[0] += 0.2  # 0.1 in [0, 1]: 20 dB
    y[1] += 0.02  # 0.01: 40 dB
    assert psnr(x, y) == pytest.approx(30, abs=1e-4)  # the mean of both, not the dB of the mean error
    assert psnr(x, x) == np.inf


def test_ssim_is_the_papers_formula() -> None:
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    x, y = pictures(seed=1), np.clip(pictures(seed=1) * 0.6 + 0.4 * pictures(seed=2), -1, 1)
    values = []
    for a, b in zip(x, y, strict=True):
        for c in range(3):
            p, q = (a[..., c].astype(float) + 1) / 2, (b[..., c].astype(float) + 1) / 2

            def mean(z: np.ndarray) -> np.ndarray:
                return correlate(z, window)[5:-5, 5:-5]

            mp, mq = mean(p), mean(q)
            vp, vq, cov = mean(p * p) - mp**2, mean(q * q) - mq**2, mean(p * q) - mp * mq
            value = (2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4))
            assert value.shape == (10, 7)
            values.append(value.mean())
    assert ssim(x, y) == pytest.approx(np.mean(values), abs=1e-12)
    assert 0.3 < ssim(x, y) < 0.95
    assert ssim(x, x) == pytest.approx(1)
    assert ssim(x, -x) < 0


def test_retrieval_counts_partners_that_are_nearest() -> None:
    truths = pictures(8)
    fakes = truths + 0.1 * pictures(8, seed=3)
    assert retrieval(fakes, truths) == 1
    swapped = fakes[[1, 0, *range(2, 8)]]
    assert retrieval(swapped, truths) == 6 / 8
    assert retrieval(np.broadcast_to(truths.mean(axis=0), truths.shape), truths) == 1 / 8  # the mean image guesses


def test_retrieval_is_by_euclidean_distance() -> None:
    scale = np.linspace(0.1, 1.5, 8, dtype=np.float32)[:, None, None, None]
    truths, fakes = pictures(8) * scale, 0.5 * pictures(8) + 0.2 * pictures(8, seed=3)  # norms differ: not by the angle
    brute = [np.argmin([np.square(f - t).sum() for t in truths]) == i for i, f in enumerate(fakes)]
    assert 0 < np.mean(brute) < 1
    assert retrieval(fakes, truths) == np.mean(brute)


def test_paired_scores_of_model_and_baselines() -> None:
    inputs, truths = pictures(), pictures(seed=4)
    scores = paired_scores(truths.copy(), inputs, truths)
    assert scores["model"] == {"l1": 0, "ssim": pytest.approx(1), "psnr": np.inf, "retrieval": 1}
    assert scores["untouched"]["l1"] == pytest.approx(l1(inputs, truths))
    assert list(scores) == ["model", "untouched"]  # no baseline that is made of the truths
    given = paired_scores(inputs, inputs, truths, mean=np.zeros((20, 17, 3), np.float32))
    assert given["mean"]["l1"] == pytest.approx(l1(np.zeros_like(truths), truths))
    assert given["model"] == given["untouched"]
    with pytest.raises(ValueError, match="as many inputs as truths"):
        paired_scores(inputs[1:], inputs, truths)


def test_untouched_is_left_out_where_channels_differ() -> None:
    truths = pictures(channels=1)
    assert list(paired_scores(truths, pictures(channels=3), truths)) == ["model"]


def test_among_one_picture_nothing_is_retrieved() -> None:
    one = pictures()[:1]
    assert "retrieval" not in paired_scores(one, one, one, mean=one[0])["model"]
    assert "retrieval" in paired_scores(pictures()[:2], pictures()[:2], pictures()[:2])["model"]


def test_pictures_of_different_sizes_have_no_mean_and_no_retrieval() -> None:
    truths = [pictures(1)[0], pictures(1, seed=1)[0, :15]]
    scores = paired_scores(truths, [x * 0 for x in truths], truths)
    assert scores["model"] == {"l1": 0, "psnr": np.inf, "ssim": pytest.approx(1)} and list(scores) == [
        "model",
        "untouched",
    ]
    assert scores["untouched"]["l1"] == pytest.approx(np.mean([l1(x * 0, x) for x in truths]))
    assert "ssim" not in paired_scores([x[:10] for x in truths], truths, [x[:10] for x in truths])["model"]


def test_as_loss_falls_as_the_model_improves_and_is_not_negative() -> None:
    """So that a schedule may ask for a fall by one part in a hundred, whatever the metric."""
    assert as_loss("l1", 0.2) == 0.2 and as_loss("retrieval", 1.0) == 0
    assert as_loss("ssim", 0.9) == pytest.approx(0.1)
    assert as_loss("psnr", 20.0) == pytest.approx(0.1)


def test_table_names_the_better_way_and_stars_the_best() -> None:
    scores = {
        "model": {"l1": 0.0912, "ssim": 0.7, "psnr": 18.04, "retrieval": 0.95},
        "untouched": {"l1": 0.249, "ssim": 0.4, "psnr": 11.0, "retrieval": 0.5},
        "mean": {"l1": 0.08, "ssim": 0.3, "psnr": 19.0, "retrieval": 0.05},
    }
    assert format_scores(scores, "A to B, 20 test pairs").splitlines() == [
        "A to B, 20 test pairs         L1        SSIM     PSNR dB   retrieval",
        "                         (lower)    (higher)    (higher)    (higher)",
        "this model                 0.091       0.700*       18.0         95%*",
        "untouched input            0.249       0.400        11.0         50%",
        "mean image                 0.080*      0.300        19.0*         5%",
    ]


@pytest.mark.parametrize("score", [l1, psnr, ssim, retrieval])
def test_shapes_that_differ_are_refused(score: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match=r"\(5, 20, 17, 3\) and \(5, 20, 17, 1\)"):
        score(pictures(), pictures(channels=1))


def test_ssim_says_that_images_are_too_small() -> None:
    with pytest.raises(ValueError, match="11x11"):
        ssim(pictures()[:, :10], pictures()[:, :10])


def test_the_table_leaves_gaps_and_real_pictures_do_not_compete() -> None:
    scores = {"model": {"l1": 0.1, "distance": 1.5}, "real": {"distance": 0.4}}
    assert format_scores(scores, "A").splitlines() == [
        "A                       L1      domain",
        "                   (lower)     (lower)",
        "this model           0.100*      1.500*",
        "real, held out           -       0.400",
    ]
