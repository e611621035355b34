"""The block in one launch: the bits of two launches, where it is taken, and the barrier that its programs wait at."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from unittest import mock

import ml_dtypes
import numpy as np
import pytest
import triton
import triton.language as tl

from kernels.conv2d.geometry import Geometry
from kernels.conv_norm_relu import gpu, one_launch
from kernels.device import get_device
from kernels.gpu import grid_barrier, interpreter
from kernels.gpu.cuda_graph import Graph
from kernels.gpu.grid_barrier import arrive, wait
from kernels.gpu.launch import hooks, launch, recorded
from kernels.gpu.together import run_together
from kernels.instance_norm.settings import NormSettings
from tests.sanitiser import SanitiserError, sanitised, shuffled

MIRRORED = Geometry(padding=1, padding_mode="reflect")
SHAPES = {  # pictures, channels out, weights, geometry, activation
    "one tile": ((1, 5, 6, 8), 16, 1, MIRRORED, "none"),
    "ragged, channels across taps": ((2, 11, 13, 3), 24, 1, Geometry(padding=1), "relu"),
    "strided, stacked": ((2, 24, 22, 16), 32, 2, Geometry(2, 1), "leaky_relu"),
    "tiles divide all, two blocks of channels": ((2, 16, 8, 16), 256, 2, MIRRORED, "relu"),
}


def inputs(name: str, dtype: type) -> tuple[list[np.ndarray], dict]:
    shape, K, stack, geometry, activation = SHAPES[name]
    rng = np.random.default_rng(0)
    x, w = rng.normal(1, 1, shape), rng.normal(0, 0.1, (stack, 3, 3, shape[3], K))
    P, Q = geometry.output_size(shape, w.shape)
    skip = rng.normal(2, 1, (shape[0], P, Q, K))
    arrays = [a.astype(dtype) for a in (x, w if stack > 1 else w[0], skip)]
    return arrays, dict(geometry=geometry, norm=NormSettings(activation))


@pytest.fixture(autouse=True)
def own_counters(monkeypatch: pytest.MonkeyPatch) -> Iterator[np.ndarray]:
    """A launch that fails half-way leaves counters that nobody can use any more."""
    counters = np.zeros(grid_barrier.COUNTERS, np.int32)
    monkeypatch.setattr(grid_barrier, "_counters", lambda place: counters)
    return counters


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", SHAPES)
def test_one_launch_gives_the_bits_of_two(name: str, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """z, statistics and out, into memory full of NaN between guard zones, in any order of programs, and twice."""
    arrays, how = inputs(name, dtype)
    results = []
    for order in (iter, shuffled(0), reversed):
        with sanitised(order=lambda programs, o=order: o(list(programs))) as memory, recorded() as launches:
            results.append(gpu.forward(*map(memory.guarded, arrays), **how))
        assert [launch.name for launch in launches] == ["conv_norm_relu._block"]
    monkeypatch.setattr(hooks, "cooperative", False)
    with recorded() as launches:
        wanted = gpu.forward(*arrays, **how)
    assert [launch.name for launch in launches] == ["conv2d._fprop", "instance_norm._normalise"]
    for result in results:
        assert [a.tobytes() for a in result] == [a.tobytes() for a in wanted]


def test_a_barrier_left_out_is_seen() -> None:
    """Without waiting, the first program merges partials that nobody has written; without arriving, all wait for ever."""
    arrays, how = inputs("strided, stacked", np.float32)
    gpu.forward(*arrays, **how)
    twins = interpreter._interpreted_globals(one_launch._block.fn.__globals__)
    with (
        mock.patch.dict(twins, wait=lambda counter, before: None),
        pytest.raises(SanitiserError, match="never written"),  # what is unwritten goes through all arithmetic
        sanitised() as memory,
    ):
        gpu.forward(*map(memory.guarded, arrays), **how)
    nobody = interpreter.Handle(np.zeros(1, np.int32), tl.int32)
    with (
        mock.patch.dict(twins, arrive=lambda counter, members, is_first: tl.tensor(nobody, tl.int32)),
        pytest.raises(RuntimeError, match="wait for each other for ever"),
    ):
        gpu.forward(*arrays, **how)


def launches_of(N: int, dtype: type, size: int = 64, C: int = 256, **how) -> list:
    x, w = np.empty((N, size, size, C), dtype), np.empty((3, 3, C, 256), dtype)
    with recorded(run=False) as launches:
        gpu.forward(x, w, geometry=how.get("geometry", MIRRORED), norm=NormSettings())
    return launches


@pytest.mark.parametrize("N", [1, 2, 4])
def test_residual_layers_of_the_paper_have_128_programs(N: int) -> None:
    (block,) = launches_of(N, ml_dtypes.bfloat16)
    assert math.prod(block.grid) == 128 and block.options["launch_cooperative_grid"]
    z = N * 64 * 64 * 256 * 2
    assert block.bytes == 3 * z + 9 * 256 * 256 * 2 + block.grid[0] * N * 2 * 256 * 4  # x, z, out: z is not read again


def test_what_does_not_run_at_once_takes_two_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(launches_of(8, ml_dtypes.bfloat16)) == 2  # 256 programs of 128x256
    assert len(launches_of(4, np.float32)) == 2  # tiles as large do not fit the registers
    for multiprocessors, shared in ((108, 163), (128, 99)):  # A100, RTX 4090: too few; 144 KB do not fit
        monkeypatch.setattr(grid_barrier, "MULTIPROCESSORS", multiprocessors)
        monkeypatch.setattr(grid_barrier, "SHARED", shared * 1024)
        assert len(launches_of(4, ml_dtypes.bfloat16)) == 2
    assert len(launches_of(2, ml_dtypes.bfloat16)) == 1  # 128x128 in 96 KB
    monkeypatch.setattr(hooks, "cooperative", False)
    assert len(launches_of(2, ml_dtypes.bfloat16)) == 2


@triton.jit
def _meet(x, y, counter, programs, BLOCK: tl.constexpr):
    """Program i writes x[i], waits for all, and puts the sum of x into y[i]; twice."""
    i, at = tl.program_id(0), tl.arange(0, BLOCK)
    for turn in range(2):
        tl.store(x + turn * programs + i, i + 1)
        wait(counter, arrive(counter, programs, i == 0))
        tl.store(y + turn * programs + i, tl.sum(tl.load(x + turn * programs + at, mask=at < programs, other=0), 0))


@pytest.mark.parametrize("generation", [0, -(2**31)])
def test_a_counter_serves_launches_of_any_size_and_is_never_set_back(generation: int) -> None:
    """Two barriers in each launch: the highest bit is back where it was, the lower ones are 0."""
    counter = np.array([generation], np.int32)
    for programs in (1, 2, 3, 7, 2):
        x, y = np.full(2 * programs, -1, np.int32), np.full(2 * programs, -1, np.int32)
        launch(_meet, (programs,), x, y, counter, programs, BLOCK=8, cooperative=True)
        assert (y == programs * (programs + 1) // 2).all() and counter[0] == generation


def test_programs_that_wait_for_ever_are_an_error() -> None:
    """A fourth that never comes; and three where there is room for two, which is what a cooperative launch rules out."""
    for members, resident in ((4, None), (3, 2)):
        x, y, counter = np.zeros(8, np.int32), np.zeros(8, np.int32), np.zeros(1, np.int32)
        with (
            mock.patch.object(interpreter, "run_together", lambda *a, r=resident: run_together(*a, resident=r)),
            pytest.raises(RuntimeError, match="wait for each other for ever"),
        ):
            launch(_meet, (3,), x, y, counter, members, BLOCK=8, cooperative=True)


@triton.jit
def _wait_alone(counter):
    """Program 0 waits for a second; program 1 divides by zero, in Python."""
    if tl.program_id(0) == 1:
        1 // 0  # noqa: B018
    wait(counter, arrive(counter, 2, True))


def test_an_error_in_one_program_ends_all() -> None:
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        launch(_wait_alone, (3,), np.zeros(1, np.int32), cooperative=True)
    assert threading.active_count() == threads


def test_a_captured_block_is_replayed_with_the_same_counters(own_counters: np.ndarray) -> None:
    (x, w, skip), how = inputs("strided, stacked", np.float32)
    graph = Graph(get_device("interpret"))
    results = graph.capture(lambda: gpu.forward(x, w, skip, **how))
    for seed in range(3):
        x[...] = np.random.default_rng(seed).normal(0, 1, x.shape)
        graph.replay()
        replayed = [a.tobytes() for a in results]
        assert replayed == [a.tobytes() for a in gpu.forward(x, w, skip, **how)]
    assert not (own_counters & 0x7FFFFFFF).any()
