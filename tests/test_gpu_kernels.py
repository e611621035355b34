"""What the harness of ops does not ask of GPU kernels, in Triton's interpreter: large means, other tiles, Adam's one launch."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest

from kernels.device import get_device
from kernels.gpu.launch import recorded
from kernels.instance_norm.settings import NormSettings
from tests.cases import Case
from tests.harness import check_op
from tests.sanitiser import sanitised, shuffled


def test_variance_survives_a_large_mean():
    x = np.random.default_rng(0).normal(1000, 1, (1, 16, 16, 4)).astype(np.float32)
    variance = x.astype(np.float64).var((1, 2))
    from kernels.instance_norm import gpu

    _, mean, rstd = gpu.forward(x, norm=NormSettings(eps=0.0))
    assert np.abs(mean / x.astype(np.float64).mean((1, 2)) - 1).max() < 1e-7
    assert np.abs(rstd**-2.0 / variance - 1).max() < 1e-5  # E[x^2] - E[x]^2 is off by 9e-2


def test_partials_of_other_tiles_give_the_same_norm():
    """As left by a convolution whose tile is not the one that `forward` would take; the last is shorter."""
    from kernels.instance_norm import gpu

    x, tile = np.random.default_rng(0).normal(0.5, 1.5, (2, 7, 9, 3)).astype(np.float32), 20
    pixels = [x.reshape(2, 63, 3)[:, start : start + tile].astype(np.float64) for start in range(0, 63, tile)]
    partials = np.stack([np.stack((p.mean(1), p.var(1) * p.shape[1]), 1) for p in pixels], 1).astype(np.float32)
    assert partials.shape == (2, 4, 2, 3)
    for got, want in zip(
        gpu.normalise(x, partials, tile, None, NormSettings()), gpu.forward(x, norm=NormSettings()), strict=True
    ):
        assert np.abs(got - want).max() < 5e-6


@pytest.mark.parametrize("order", [iter, shuffled(0)], ids=["in order", "shuffled"])
def test_long_lists_of_partials_are_shortened(order):
    """267 tiles of one pixel or two, the last shorter: nine lists of at most 32, which every program reads for itself."""
    from kernels.instance_norm.normalise import normalise
    from kernels.instance_norm.partials import shortened

    rng = np.random.default_rng(0)
    x = rng.normal(1000, 1, (2, 13, 41, 3)).astype(np.float32)
    flat = x.reshape(2, -1, 3).astype(np.float64)
    tiles = [flat[:, start : start + 2] for start in range(0, 533, 2)]
    partials = np.stack([np.stack((t.mean(1), t.var(1) * t.shape[1]), 1) for t in tiles], 1).astype(np.float32)
    with sanitised(order) as memory, recorded() as launches:
        _, mean, rstd = normalise(memory.guarded(x), memory.guarded(partials), 2, None, NormSettings(eps=0.0))
        sums, _ = shortened(memory.guarded(partials))
    assert [launch.name.partition(".")[2] for launch in launches] == ["_shorten", "_normalise", "_shorten"]
    assert np.abs(mean / flat.mean(1) - 1).max() < 1e-7 and np.abs(rstd**-2.0 / flat.var(1) - 1).max() < 1e-5
    assert sums.shape == (2, 9, 2, 3) and np.allclose(sums.sum(1), partials.sum(1, dtype=np.float64), rtol=1e-6)
    assert shortened(partials[:, :128], 0, 7)[0].shape[1] == 128  # these are few enough


def test_a_tile_may_take_several_rounds(monkeypatch):
    """On large maps a program walks over its tile some pixels at a time; here the last round of the only tile is ragged."""
    from kernels.instance_norm import gradient, normalise

    for module in (normalise, gradient):
        monkeypatch.setattr(module, "tile_of", lambda x: 96)
    case = Case("instance_norm", "rounds", dict(x=(2, 7, 13, 3), skip=None), dict(activation="relu"))
    check_op(case, get_device("interpret"), "fp32")


@pytest.mark.parametrize("order", [iter, shuffled(0)], ids=["in order", "shuffled"])
def test_adam_updates_all_tensors_in_one_launch(order):
    from kernels.adam import gpu, reference

    rng = np.random.default_rng(0)
    shapes = [(1,), (3, 3, 4, 5), (1500,), (7, 2)]
    exact = [[rng.normal(size=shape) for shape in shapes], *([np.zeros(s) for s in shapes] for _ in range(2))]
    with sanitised(order) as memory:
        ours = [[memory.guarded(a.astype(np.float32)) for a in group] for group in exact]
        for step in (1, 2, 3):
            grads = [np.asfortranarray(rng.normal(size=shape).astype(np.float32)) for shape in shapes]
            options = dict(lr=2e-3, beta1=0.5, beta2=0.999, eps=1e-8, step=step)
            kept = [g.copy() for g in grads]
            reference.update(exact[0], [g.astype(np.float64) for g in grads], *exact[1:], **options)
            with recorded() as launches:
                gpu.update(ours[0], grads, *ours[1:], **options)
            assert len(launches) == 1 and launches[0].bytes == 28 * sum(g.size for g in grads)
            assert all(np.array_equal(a, b) for a, b in zip(grads, kept, strict=True))
    for want, got in zip(itertools.chain(*exact), itertools.chain(*ours), strict=True):
        assert (np.abs(got - want) <= 2e-6 * (1 + np.abs(want))).all()


@pytest.mark.parametrize("offset", [0, 1], ids=["wide", "anywhere"])
def test_adam_adds_gradients_and_rounds_on_its_way(offset):
    """The bits of an addition, an update and a cast; of three tensors, one has a second gradient and no copy, one the reverse."""
    from kernels.adam import gpu

    rng, sizes, low = np.random.default_rng(0), (2050, 1500, 7), np.dtype(ml_dtypes.bfloat16)
    p, g, other, m, v = arrays = [[rng.normal(size=s).astype(np.float32) for s in sizes] for _ in range(5)]
    v[:] = map(np.abs, v)
    options = dict(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-8, step=2)
    with sanitised(shuffled(0)) as memory, recorded() as launches:
        pad = lambda a: memory.guarded(np.concatenate((np.zeros(offset, a.dtype), a)))[offset:]
        p2, g2, other2, m2, v2 = (list(map(pad, group)) for group in arrays)
        copies = [None, *(pad(np.zeros(s, low)) for s in sizes[1:])]
        gpu.update(p2, g2, m2, v2, **options, others=[other2[0], None, other2[2]], low=copies)
    gpu.update(p, [g[0] + other[0], g[1], g[2] + other[2]], m, v, **options)
    assert len(launches) == 1 and launches[0].bytes == 32 * 2050 + 30 * 1500 + 34 * 7
    assert all(np.array_equal(ours, apart) for ours, apart in zip((*p2, *m2, *v2), (*p, *m, *v), strict=True))
    assert all(np.array_equal(copy, a.astype(low)) for copy, a in zip(copies[1:], p[1:], strict=True))


def test_adam_takes_tensors_at_any_address():
    from kernels.adam import gpu

    results = []
    for offset in (0, 1):
        p, g, m, v = (np.zeros(34, np.float32)[offset : offset + 33] for _ in range(4))
        p[:], g[:] = 1, np.linspace(-1, 1, 33)
        gpu.update([p], [g], [m], [v], lr=0.1, beta1=0.5, beta2=0.9, eps=1e-8, step=1)
        results.append(p)
    assert np.array_equal(*results) and not (results[0] == 1).all()


@pytest.mark.parametrize("order", [iter, shuffled(0)], ids=["in order", "shuffled"])
def test_a_cast_of_several_programs_rounds_every_element(order):
    from kernels.cast import gpu

    x = np.random.default_rng(0).normal(size=5000).astype(np.float32)  # the third program's last elements are none
    with sanitised(order) as memory:
        y = gpu.forward(memory.guarded(x), dtype=np.dtype(ml_dtypes.bfloat16))
    assert y.dtype.name == "bfloat16" and np.array_equal(y, x.astype(y.dtype))


def test_adam_refuses_what_it_would_get_wrong():
    from kernels.adam import gpu

    options = dict(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-8, step=1)
    good, matrix = np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32).T
    with pytest.raises(TypeError, match="float32"):
        gpu.update([good], [good.astype(np.float64)], [good], [good], **options)
    with pytest.raises(ValueError, match="contiguous"):
        gpu.update([matrix], [good], [good], [good], **options)
    with pytest.raises(ValueError, match="shapes"):
        gpu.update([good], [good[:1]], [good], [good], **options)


@pytest.mark.parametrize(("size", "count"), [(900, 1), (1025, 2)])
def test_a_loss_of_one_program_is_one_launch(size, count):
    """As those of a PatchGAN's scores, 30x30; the bits are those of two."""
    from kernels.gpu.reduce import sum_of_partials
    from kernels.lsgan_loss import gpu

    x = np.random.default_rng(0).normal(size=(1, size, 1, 1)).astype(np.float32)
    with sanitised(shuffled(0)) as memory, recorded() as launches:
        loss, _ = gpu.forward(memory.guarded(x), target=1.0, weight=0.5)
    assert len(launches) == count and loss.shape == ()
    assert abs(loss - 0.5 * ((x.astype(np.float64) - 1) ** 2).mean()) < 1e-6
    assert sum_of_partials(np.array([loss, 0], np.float32)) == loss


def test_float64_is_refused():
    from kernels.tanh import gpu

    with pytest.raises(TypeError, match=r"float64.*float32"):
        gpu.forward(np.zeros((1, 2, 2, 1)))
