"""What the harness of ops does not ask of the GPU convolutions, in Triton's interpreter: launches, large means, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.conv2d.geometry import Geometry, TransposedGeometry
from kernels.gpu import launch
from kernels.gpu.launch import recorded
from kernels.instance_norm.settings import NormSettings
from tests.sanitiser import sanitised, shuffled


def test_what_nobody_wants_is_not_launched():
    from kernels.conv2d import gpu

    x, w, dy = (np.ones(shape, np.float32) for shape in ((1, 6, 5, 16), (4, 4, 16, 1), (1, 5, 4, 1)))
    for need, count in (((True, False, False), 1), ((False, True, True), 1), ((False, False, False), 0)):
        with recorded() as launches:
            results = gpu.backward(dy, x, w, geometry=Geometry(padding=1), need=need)
        assert [r is not None for r in results] == list(need) and len(launches) == count


def test_statistics_survive_a_large_mean():
    """z has mean 1000 and deviation 1: E[z^2] - E[z]^2 in float32 would be off by 9 %."""
    from kernels.conv2d.fprop import fprop
    from kernels.instance_norm.normalise import normalise

    x = np.random.default_rng(0).normal(1000, 1, (1, 11, 13, 1)).astype(np.float32)
    z, partials, tile = fprop(x, np.ones((1, 1, 1, 1), np.float32), None, (11, 13), Geometry(), statistics=True)
    _, mean, rstd = normalise(z, partials, tile, None, NormSettings(eps=0.0))
    exact = x.astype(np.float64)
    assert abs(mean[0, 0] / exact.mean() - 1) < 1e-7
    assert abs(float(rstd[0, 0]) ** -2 / exact.var() - 1) < 1e-5


def test_a_residual_block_at_full_size_takes_one_launch_forward_and_five_backward():
    """Counted, not run. 4.8 GFLOP each for y, dx and dw; forward moves x, w, z, skip, out and no padded picture."""
    import ml_dtypes

    from kernels.conv_norm_relu import gpu

    x, w = np.empty((1, 64, 64, 256), ml_dtypes.bfloat16), np.empty((3, 3, 256, 256), ml_dtypes.bfloat16)
    settings = dict(geometry=Geometry(padding=1, padding_mode="reflect"), norm=NormSettings())
    with recorded(run=False) as forward:
        _, z, mean, rstd = gpu.forward(x, w, x, **settings)
    with recorded(run=False) as backward:
        gpu.backward(x, x, w, z, mean, rstd, **settings)
    assert (len(forward), len(backward)) == (1, 5)  # sums, dz, dx, dw in slices and their sum
    flops = 2 * x.size * 9 * 256
    assert [sum(launch.flops for launch in part) for part in (forward, backward)] == [flops, 2 * flops]
    assert sum(launch.bytes for launch in forward) < 1.05 * (4 * x.nbytes + w.nbytes)


@pytest.mark.parametrize("Q", [32, 30, 8, 9], ids=["two steps", "less than two", "half a step", "anywhere"])
def test_dw_walks_over_rows_images_and_slices(Q, monkeypatch):
    """16 pixels of dy at a time, within a row and across rows; slices end amid rows and images; two weights, three images each."""
    from kernels.conv2d import wgrad

    monkeypatch.setattr(launch.hooks, "matmul", "fp32")
    monkeypatch.setattr(wgrad, "_split", lambda total, tiles, BK: (3 * BK, -(-total // (3 * BK))))
    rng, halo = np.random.default_rng(0), 2
    x, dy = rng.normal(0.3, 1, (6, 5, Q, 16)), rng.normal(0.3, 1, (6, 5 + halo, Q + halo, 8))
    padded, inside = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect"), dy[:, :-halo, :-halo]
    taps = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2)).reshape(2, 3, 5, Q, 16, 3, 3)
    exact = np.einsum("gnpqcrs,gnpqk->grsck", taps, inside.reshape(2, 3, 5, Q, 8))
    with sanitised(order=shuffled(0), every_read=True) as memory, recorded() as launches:
        arrays = [memory.guarded(a.astype(np.float32)) for a in (x, dy)]
        mirrored = Geometry(padding=1, padding_mode="reflect")
        dw, db = wgrad.wgrad(*arrays, (3, 3), mirrored, stack=2, bias=True, halo=halo)
    assert (
        launches[0].constexprs["ROW"] == (Q >= 30)
        and launches[0].constexprs["EDGE"] == (Q == 30)
        and launches[0].grid[2] > 4
    )
    assert np.abs(dw - exact).max() < 1e-6 * np.abs(exact).max()
    assert np.abs(db - inside.reshape(2, -1, 8).sum(1)).max() < 1e-4


@pytest.mark.parametrize(("size", "apart"), [((8, 8), 0), ((8, 7), 1)])
def test_statistics_of_a_transposed_convolution_come_with_it_where_its_phases_are_whole_tiles(size, apart):
    """Of z with mean 1000 and deviation about 1: four phases, each of a tile of 64 pixels; or of 56."""
    from kernels.conv_transpose_norm_relu import gpu

    rng = np.random.default_rng(0)
    x, w = rng.normal(1000, 1, (1, *size, 2)).astype(np.float32), np.full((2, 2, 2, 3), 0.5, np.float32)
    how = dict(geometry=TransposedGeometry(2, 0, 0), norm=NormSettings(eps=0.0))
    with recorded() as launches:
        _, z, mean, rstd = gpu.forward(x, w, **how)
    exact = z.astype(np.float64)
    assert np.abs(mean / exact.mean((1, 2)) - 1).max() < 1e-7
    assert np.abs(rstd**-2.0 / exact.var((1, 2)) - 1).max() < 1e-4  # z itself has steps of 6e-5
    assert [made.name for made in launches][1:-1] == ["instance_norm._moments"] * apart


def test_dx_in_wide_tiles_is_finished_in_quarters():
    """256 channels to a tile, finished 64 at a time, against 64 to a tile; the second tile's last quarters are beyond the 320 there are."""
    from kernels.conv2d.dgrad import dgrad
    from kernels.gpu.epilogue import Epilogue, Sums

    rng = np.random.default_rng(0)
    dy, w, onto, z, b = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((2, 9, 16, 16), (2, 3, 3, 320, 16), (2, 9, 16, 320), (2, 9, 16, 320), (2, 320))
    )
    mean, rstd = z.mean((1, 2)), 1 / z.std((1, 2))
    results = []
    for BN in (64, 256):
        with sanitised(order=shuffled(0), every_read=True) as memory:
            arrays = [memory.guarded(a) for a in (dy, w, b)]
            sums = Sums(memory.guarded(z), memory.guarded(mean), memory.guarded(rstd), 0.2)
            tiles = dict(BM=128, BN=BN, BK=16, num_warps=8, num_stages=3)
            dx, *_ = dgrad(
                *arrays, (9, 16), Geometry(padding=1), epilogue=Epilogue(memory.guarded(onto), sums), tiles=tiles
            )
        results.append((dx, sums.partials))
    for narrow, wide in zip(*results, strict=True):
        assert narrow.shape == wide.shape and np.abs(narrow - wide).max() < 1e-5 * np.abs(narrow).max()


def test_errors_name_the_op():
    from kernels.conv2d import gpu

    x, w = np.zeros((1, 4, 4, 2), np.float32), np.zeros((3, 3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="cannot be mirrored by 4"):
        gpu.forward(x, w, geometry=Geometry(padding=4, padding_mode="reflect"))
    with pytest.raises(TypeError, match=r"float64.*float32"):
        gpu.forward(x.astype(np.float64), w.astype(np.float64), geometry=Geometry())
