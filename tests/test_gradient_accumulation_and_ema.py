"""A step in micro-batches equals one whole step; the averaged generators are what is shown, saved and gone on with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nn import PatchDiscriminator
from tests.test_training_step import TINY, flat, images
from train.cyclegan import CycleGAN
from train.models.directions import micro_batches
from train.models.ema import EMA


@pytest.mark.slow
@pytest.mark.parametrize(("count", "batch"), [(2, 4), (3, 5)])
def test_micro_batches_equal_a_large_batch_up_to_rounding(count: int, batch: int) -> None:
    """Losses, pools and weights after five steps in float64; the last of 3 micro-batches of 5 is smaller than the others."""
    config = TINY.replace(batch_size=batch, pool_size=3)
    whole, split = CycleGAN(config).astype("float64"), CycleGAN(config.replace(accumulate=count)).astype("float64")
    for a, b in images(config, 5):
        wanted, got = whole.step(a, b), split.step(a, b)
        assert all(abs(got[name] - wanted[name]) <= 1e-12 * max(1, wanted[name]) for name in wanted), (got, wanted)
    for name, network in whole.networks().items():
        for key, p in network.named_parameters():
            q = dict(split.networks()[name].named_parameters())[key]
            assert np.abs(p.data - q.data).max() <= 1e-13, (name, key)
    for mine, theirs in ((whole.pool_a, split.pool_a), (whole.pool_b, split.pool_b)):
        assert mine.state_dict()["rng"] == theirs.state_dict()["rng"]
        assert all(np.abs(x - y).max() <= 1e-12 for x, y in zip(mine.images, theirs.images, strict=True))


def test_the_sizes_of_micro_batches() -> None:
    pictures = np.arange(7)
    split = [(micro_batch, a.tolist()) for micro_batch, (a, _) in micro_batches((pictures, pictures), 3)]
    assert [a for _, a in split] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [(micro_batch.share, micro_batch.first, micro_batch.last) for micro_batch, _ in split] == [
        (3 / 7, True, False), (3 / 7, False, False), (1 / 7, False, True)
    ]  # fmt: skip
    ((micro_batch, (a, _)),) = micro_batches(
        (pictures[:1], pictures[:1]), 4
    )  # the last batch of an epoch may be that small
    assert micro_batch.share == 1 and micro_batch.first and micro_batch.last and len(a) == 1


def steps(model: CycleGAN, batches: list[Any]) -> list[dict[str, np.ndarray]]:
    """gen_ab's weights after each step."""
    after = []
    for a, b in batches:
        model.step(a, b)
        after.append(model.gen_ab.state_dict())
    return after


@pytest.mark.parametrize("decay", [0.25, 0.999])
def test_the_average_of_weights_that_move_far(decay: float) -> None:
    """Weight by weight with the formula; the limit (n - 1) / (n + 9) holds up to the fourth step, or for all of twenty."""
    live = PatchDiscriminator(ndf=1, n_layers=1)
    ema, rng, average = EMA({"disc": live}, decay), np.random.default_rng(0), 0.0
    for n in range(1, 21):
        weights = {key: rng.standard_normal(w.shape).astype(w.dtype) for key, w in live.state_dict().items()}
        live.load_state_dict(weights)
        ema.update()
        limit = [0, 1 / 11, 2 / 12, 3 / 13, 4 / 14][n - 1] if n < 6 else (n - 1) / (n + 9)
        flat_weights = np.concatenate([w.ravel() for w in weights.values()]).astype(np.float64)
        average = average + (1 - min(decay, limit)) * (flat_weights - average)
        shown = np.concatenate([w.ravel() for w in ema.shown("disc").state_dict().values()])
        np.testing.assert_allclose(shown, average, rtol=0, atol=1e-6)


def test_averages_follow_the_formula_and_leave_training_alone() -> None:
    batches = images(TINY, 6)
    model, plain = CycleGAN(TINY.replace(ema=0.25)), CycleGAN(TINY)
    real = batches[0][0]
    assert np.array_equal(model.translate(real), plain.translate(real))  # before the first step
    after = steps(model, batches)
    for own, same in zip(after, steps(plain, batches), strict=True):
        assert flat(own) == flat(same)
    for key in after[0]:
        average = after[0][key].astype(np.float64)
        for n, weights in enumerate(after[1:], 2):
            average += (1 - min(0.25, (n - 1) / (n + 9))) * (weights[key] - average)
        assert np.allclose(model.shown("gen_ab").state_dict()[key], average, rtol=0, atol=1e-6), key
    averaged = CycleGAN(TINY)
    for name in ("gen_ab", "gen_ba"):
        averaged.networks()[name].load_state_dict(model.state_dict()["networks"][name])
    for direction in ("AtoB", "BtoA"):
        assert np.array_equal(model.translate(real, direction), averaged.translate(real, direction))
        assert not np.array_equal(model.translate(real, direction), plain.translate(real, direction))
    assert np.array_equal(model.pictures(*batches[0])["rec_a"], averaged.pictures(*batches[0])["rec_a"])


def test_averages_go_on_exactly() -> None:
    config = TINY.replace(ema=0.9)
    first, second = CycleGAN(config), CycleGAN(config.replace(seed=9))
    batches = images(TINY, 6)
    steps(first, batches[:3])
    second.load_state_dict(first.state_dict())
    for a, b in batches[3:]:
        assert first.step(a, b) == second.step(a, b)
    assert flat(first.state_dict()) == flat(second.state_dict())


@pytest.mark.slow
def test_the_gpus_code_goes_on_exactly() -> None:
    """Through the Triton kernels, interpreted: averages, and a pool on the device."""
    small = dict(device="interpret", netD="n_layers", n_layers_D=1, ngf=1, ndf=1, crop_size=8, load_size=8, pool_size=1)
    config = TINY.replace(**small, lambda_identity=0.0, ema=0.9)
    first, second = CycleGAN(config), CycleGAN(config.replace(seed=9))
    (a, b), (c, d) = images(config, 2)
    first.step(a, b)
    second.load_state_dict(first.state_dict())
    assert first.step(c, d) == second.step(c, d)
    assert flat(first.state_dict()) == flat(second.state_dict())
    assert len(first.pool_a.images) == 1 and first.ema is not None and first.ema.steps == 2
