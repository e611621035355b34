"""Winograd's convolution: the matrices themselves, every ragged size, and how exact it is."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.conv2d import cpu, direct, reference, winograd, winograd_transforms
from kernels.conv2d.geometry import Geometry, TransposedGeometry
from kernels.conv_transpose2d import cpu as conv_transpose2d
from kernels.conv_transpose2d import reference as transposed

POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)


def matrices(R: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B^T, G and A^T for kernels of R taps, derived from the points (and infinity) as in docs/winograd.md."""
    m = 7 - R
    f = [np.prod([p - q for q in POINTS if q != p]) for p in POINTS]
    bt = np.array(
        [np.append(np.poly([q for q in POINTS if q != p])[::-1], 0) for p in POINTS] + [np.poly(POINTS)[::-1]]
    )
    g = np.array([[p**i / fp for i in range(R)] for p, fp in zip(POINTS, f, strict=True)] + [np.eye(R)[-1]])
    at = np.hstack([np.array([[p**i for p in POINTS] for i in range(m)]), np.eye(m)[:, -1:]])
    return bt, g, at


@pytest.mark.parametrize("R", [2, 3, 4])
def test_the_code_applies_the_three_matrices(R):
    for got, want in zip(winograd_transforms.matrices(R), matrices(R), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("R", [2, 3, 4])
def test_the_matrices_make_a_convolution(R):
    bt, g, at = matrices(R)
    rng = np.random.default_rng(1)
    d, w = rng.standard_normal(6), rng.standard_normal(R)
    np.testing.assert_allclose(at @ ((g @ w) * (bt @ d)), np.convolve(d, w[::-1], "valid"), rtol=1e-12)


def case(N, H, W, C, K, R, padding, mode, stride=1, mean=0.0, seed=0):
    """x, w, dy in float32, and the geometry."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((N, H, W, C)) + mean).astype(np.float32)
    w = rng.standard_normal((R, R, C, K)).astype(np.float32)
    geometry = Geometry(stride, padding, mode)
    P, Q = geometry.output_size(x.shape, w.shape)
    dy = rng.standard_normal((N, P, Q, K)).astype(np.float32)
    return x, w, dy, geometry


def truth(x, w, dy, geometry):
    """y, dx, dw in float64."""
    x, w, dy = (a.astype(np.float64) for a in (x, w, dy))
    dx, dw, _ = reference.backward(dy, x, w, need=(True, True, False), geometry=geometry)
    return reference.forward(x, w, geometry=geometry), dx, dw


def fast(x, w, dy, geometry):
    """y, dx, dw by winograd.py."""
    dx = winograd.dgrad(dy, x.shape, w, geometry)
    return winograd.fprop(x, w, geometry), dx, winograd.wgrad(dy, x, w.shape, geometry)


def rms(error, scale):
    return np.sqrt(np.mean(error**2)) / np.sqrt(np.mean(scale**2))


@pytest.mark.parametrize(
    "shape",
    [
        (1, 2, 2, 16, 16, 3, 1, "reflect"),
        (1, 3, 4, 17, 20, 3, 1, "zeros"),
        (2, 5, 6, 16, 18, 3, 1, "reflect"),
        (2, 8, 9, 33, 16, 3, 1, "reflect"),
        (1, 4, 11, 16, 16, 3, 0, "zeros"),
        (3, 1, 7, 16, 16, 3, 1, "zeros"),
        (2, 4, 5, 16, 20, 4, 1, "zeros"),
        (1, 7, 8, 18, 17, 4, 1, "reflect"),
        (2, 6, 9, 16, 16, 4, 0, "zeros"),
        (1, 20, 19, 16, 16, 3, 1, "zeros", 2),
        (2, 29, 30, 17, 20, 3, 1, "reflect", 2),
        (1, 21, 40, 64, 16, 3, 0, "zeros", 2),
        (2, 38, 18, 128, 33, 3, 1, "zeros", 2),
        (1, 20, 39, 64, 16, 4, 1, "zeros", 2),
        (2, 18, 21, 16, 20, 4, 0, "zeros", 2),
    ],
)
def test_every_ragged_size_agrees_with_float64(shape):
    inputs = case(*shape)
    for name, got, want in zip(("y", "dx", "dw"), fast(*inputs), truth(*inputs), strict=True):
        assert got.shape == want.shape and rms(got - want, want) < 3e-6, name


def test_a_round_ends_between_any_two_lines_of_tiles(monkeypatch):
    inputs = case(2, 13, 9, 16, 17, 3, 1, "reflect")
    once = fast(*inputs)
    monkeypatch.setattr(winograd, "CHUNK", 36 * 3 * 33)  # one line of three tiles in each round
    monkeypatch.setattr(winograd, "BAND", 1)
    for got, want in zip(fast(*inputs), once, strict=True):
        assert rms(got - want, want) < 1e-6


def test_error_is_a_few_times_that_of_float32():
    x, w, dy, geometry = case(1, 24, 24, 64, 64, 3, 1, "reflect")
    exact = truth(x, w, dy, geometry)
    plain = reference.forward(x, w, geometry=geometry), *reference.backward(dy, x, w, geometry=geometry)[:2]
    for name, got, float32, want in zip(("y", "dx", "dw"), fast(x, w, dy, geometry), plain, exact, strict=True):
        assert rms(got - want, want) < 12 * rms(float32 - want, want), name


def test_a_large_mean_costs_no_more_than_its_own_rounding():
    inputs = case(1, 16, 16, 32, 32, 3, 1, "reflect", mean=100.0)
    for got, want in zip(fast(*inputs), truth(*inputs), strict=True):
        assert rms(got - want, want) < 1e-5


def test_nan_is_not_lost():
    x, w, dy, geometry = case(1, 8, 8, 16, 16, 3, 1, "reflect")
    x[0, 4, 4, 3] = np.nan
    y, dx, dw = fast(x, w, dy, geometry)
    assert np.isnan(y[0, 3:6, 3:6]).all() and np.isnan(dw[:, :, 3]).all() and np.isfinite(dx).all()


@pytest.mark.parametrize(
    "w, stride, size, served",
    [
        ((3, 3, 64, 64), 1, 16, True),
        ((4, 4, 256, 512), 1, 15, True),
        ((3, 3, 64, 128), 2, 64, True),
        ((4, 4, 64, 128), 2, 32, True),
        ((3, 3, 15, 32), 1, 20, False),  # too few channels in, or out
        ((3, 3, 32, 3), 1, 20, False),
        ((3, 3, 64, 128), 3, 64, False),
        ((7, 7, 64, 64), 1, 64, False),
        ((3, 3, 64, 128), 2, 16, False),  # a third of the tiles would lie outside
        ((4, 4, 128, 256), 1, 3, False),  # so few tiles that the weights' transform costs more
    ],
)
def test_where_it_pays(w, stride, size, served):
    assert winograd.suits(w, stride, 1, size, size) == served


def test_the_convolution_goes_where_it_pays(monkeypatch):
    x, w, dy, geometry = case(1, 16, 16, 64, 64, 3, 1, "reflect")
    monkeypatch.setattr(direct, "fprop", None)
    monkeypatch.setattr(direct, "wgrad", None)
    y, (dx, dw, _) = (
        cpu.forward(x, w, geometry=geometry),
        cpu.backward(dy, x, w, need=(True, True, False), geometry=geometry),
    )
    for got, want in zip((y, dx, dw), fast(x, w, dy, geometry), strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_transposed_convolution_is_the_adjoint():
    x, w, _, _ = case(2, 30, 25, 32, 64, 3, 1, "zeros")
    assert winograd.suits(w.shape, 2, *x.shape[:3])
    y = conv_transpose2d.forward(x, w, geometry=TransposedGeometry())
    dy = np.random.default_rng(3).standard_normal(y.shape).astype(np.float32)
    got = y, *conv_transpose2d.backward(dy, x, w, geometry=TransposedGeometry(), need=(True, True, False))[:2]
    exact = [a.astype(np.float64) for a in (dy, x, w)]
    how = dict(geometry=TransposedGeometry())
    want = transposed.forward(*exact[1:], **how), *transposed.backward(*exact, **how, need=(True, True, False))[:2]
    for name, a, b in zip(("y", "dx", "dw"), got, want, strict=True):
        assert a.shape == b.shape and rms(a - b, b) < 3e-6, name


def test_sources_mirror_or_leave_out():
    assert direct.sources(4, 1, "zeros").tolist() == [-1, 0, 1, 2, 3, -1]
    assert direct.sources(4, 3, "reflect").tolist() == [3, 2, 1, 0, 1, 2, 3, 2, 1, 0]
