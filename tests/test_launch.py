"""Launching: interpreter and compiler side by side, records, refusals, and Triton on CuPy's stream."""

from __future__ import annotations

import subprocess
import sys
import types

import ml_dtypes
import numpy as np
import pytest
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import driver as nvidia
from triton.runtime import driver

from kernels.gpu import launch as launching
from kernels.gpu.launch import Pointer, contiguous, empty, input_precision, launch, recorded, set_matmul_precision
from kernels.gpu.reduce import merge_moments, sum_of_partials

F4 = np.float32
HOPPER = GPUTarget("cuda", 90, 32)


@triton.jit
def _half(v):
    return v / 2


@triton.jit
def _scale(x, skip, y, n, one, factor, BLOCK: tl.constexpr):
    """y = x factor / 2 (+ skip): a helper call, an optional argument, a function of Triton's own library."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = _half(tl.load(x + at * one, mask=at < n, other=0.0).to(tl.float32)) * factor
    if skip is not None:
        value += tl.load(skip + at, mask=at < n, other=0.0).to(tl.float32)
    spread = tl.sum(value, 0) - tl.sum(value, 0)
    tl.store(y + at, value + spread, mask=at < n)


@triton.jit
def _product(x, w, y, BLOCK: tl.constexpr):
    row, column = tl.arange(0, BLOCK)[:, None], tl.arange(0, BLOCK)[None, :]
    tl.store(y + row * BLOCK + column, tl.dot(tl.load(x + row * BLOCK + column), tl.load(w + row * BLOCK + column)))


@triton.jit
def _merge(x, y, n_a: tl.constexpr, n_b: tl.constexpr, A: tl.constexpr, B: tl.constexpr):
    a, b = tl.arange(0, A), tl.arange(0, B)
    left, right = tl.load(x + a, mask=a < n_a, other=0.0), tl.load(x + n_a + b, mask=b < n_b, other=0.0)
    mean_a, mean_b = tl.sum(left, 0) / n_a, tl.sum(right, 0) / n_b
    off_a, off_b = tl.where(a < n_a, left - mean_a, 0.0), tl.where(b < n_b, right - mean_b, 0.0)
    n, mean, m2 = merge_moments(
        1.0 * n_a, mean_a, tl.sum(off_a * off_a, 0), 1.0 * n_b, mean_b, tl.sum(off_b * off_b, 0)
    )
    tl.store(y, n)
    tl.store(y + 1, mean)
    tl.store(y + 2, m2)


def scale(x, skip=None, factor=3.0, dtype=None):
    y = empty(x, x.shape, dtype)
    launch(_scale, (triton.cdiv(x.size, 32),), x, skip, y, x.size, 1, factor, flops=2 * x.size, BLOCK=32)
    return y


def test_interprets_and_compiles_in_one_process():
    x = np.arange(48, dtype=F4)
    for _ in range(2):
        with recorded() as launches:
            assert np.array_equal(scale(x, x), x * 2.5)
        compiled = triton.compile(launches[0].source(), target=HOPPER, options=launches[0].options)
        assert compiled.asm["cubin"] and compiled.metadata.enable_fp_fusion
        assert "ld.global" in compiled.asm["ptx"]


def test_a_record_says_what_was_compiled_and_moved():
    x = np.zeros(49, F4)[1:]  # 48 elements that start 4 bytes behind a multiple of 16
    with recorded() as launches:
        scale(x)
        scale(x, x, dtype=ml_dtypes.bfloat16)
    plain, other = launches
    assert plain.name == "tests.test_launch._scale" and plain.grid == (2, 1, 1)
    assert plain.signature == dict(
        x="*fp32", skip="constexpr", y="*fp32", n="i32", one="constexpr", factor="fp32", BLOCK="constexpr"
    )
    assert plain.constexprs == dict(skip=None, one=1, BLOCK=32)
    assert plain.divisible == ("y", "n")
    assert plain.options == dict(num_warps=4, num_stages=2, enable_fp_fusion=True)
    assert (plain.bytes, plain.flops) == (2 * 48 * 4, 96)
    assert other.signature["y"] == "*bf16" and other.signature["skip"] == "*fp32"
    assert plain.key != other.key and len({plain.key, other.key}) == 2


def test_without_running_launches_are_only_noted():
    x, y = np.ones(8, F4), np.full(8, 5, F4)
    with recorded(run=False) as launches:
        launch(_scale, (1,), x, None, y, 8, 1, 3.0, BLOCK=32)
    assert len(launches) == 1 and (y == 5).all()
    launch(_scale, (1,), x, None, y, 8, 1, 3.0, BLOCK=32)
    assert len(launches) == 1 and (y == 1.5).all()


def test_an_empty_grid_does_nothing():
    assert scale(np.zeros(0, F4)).shape == (0,)


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        (np.zeros(8), TypeError, "float64 array given to a GPU kernel, which computes in float32"),
        (np.zeros((4, 4), F4).T, ValueError, "has gaps"),
    ],
)
def test_refuses(array, error, words):
    with pytest.raises(error, match=words):
        launch(_scale, (1,), array, None, np.zeros(16, F4), 8, 1, 1.0, BLOCK=32)


def test_contiguous_copies_only_where_it_must():
    x = np.zeros((2, 3), F4)
    same, copy, nothing = contiguous(x, x.T, None)
    assert same is x and nothing is None and copy.flags.c_contiguous and copy.shape == (3, 2)


def test_bfloat16_is_rounded_to_nearest_even():
    x = np.concatenate([np.random.default_rng(0).normal(size=200), [0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3.3e38]])
    x = np.concatenate([x, 1 + np.arange(8) / 256]).astype(F4)  # the last are ties
    y = scale(x, factor=2.0, dtype=ml_dtypes.bfloat16)
    finite = np.isfinite(x)
    x[~finite] = 0
    assert np.array_equal(scale(x, factor=2.0, dtype=ml_dtypes.bfloat16), x.astype(ml_dtypes.bfloat16))
    assert np.isnan(y[~finite]).any()


def test_bfloat16_is_multiplied_as_numbers():
    x, w = np.random.default_rng(0).normal(size=(2, 16, 16)).astype(ml_dtypes.bfloat16)
    y = empty(x, (16, 16), "float32")
    launch(_product, (1,), x, w, y, BLOCK=16)
    assert np.abs(y - x.astype(float) @ w.astype(float)).max() < 1e-5


def test_moments_merge():
    x, y = np.random.default_rng(0).normal(3, 2, 27).astype(F4), np.zeros(3, F4)
    launch(_merge, (1,), x, y, n_a=20, n_b=7, A=32, B=8)
    assert np.allclose(y, (27, x.mean(), x.var() * 27), rtol=1e-5)


def test_partials_are_summed_over_more_than_one_round():
    x = np.random.default_rng(0).normal(size=2500).astype(F4)
    total = sum_of_partials(x)
    assert total.shape == () and abs(total - x.astype(float).sum()) < 1e-4


def test_matmul_precision():
    assert input_precision() == "tf32"
    set_matmul_precision("fp32")
    assert input_precision() == "ieee"
    with pytest.raises(ValueError, match="wanted tf32 or fp32"):
        set_matmul_precision("half")


def test_triton_is_not_imported_before_it_is_needed():
    code = "import sys, kernels.gpu.launch, kernels.dispatch, autograd; assert not {'triton', 'cupy', 'torch'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


class FakeArray:
    """What `launch` uses of a CuPy array."""

    dtype, nbytes = np.dtype(F4), 32
    flags = types.SimpleNamespace(c_contiguous=True)
    data = types.SimpleNamespace(ptr=4096)


@pytest.fixture
def fake_cupy(monkeypatch):
    """CuPy and Triton's driver library on a machine without a GPU."""
    runtime = types.SimpleNamespace(getDevice=lambda: 1, setDevice=lambda device: None)
    cuda = types.SimpleNamespace(
        runtime=runtime,
        get_current_stream=lambda device_id=-1: types.SimpleNamespace(ptr=1000 + device_id),
        Device=lambda device: types.SimpleNamespace(compute_capability="120"),
    )
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(nvidia, "CudaUtils", lambda: types.SimpleNamespace())
    monkeypatch.setattr(driver, "_active", None)
    launching.use_cupy.cache_clear()
    yield
    launching.use_cupy.cache_clear()


def test_triton_asks_cupy_for_device_and_stream(fake_cupy):
    launching.use_cupy()
    active = driver.active
    assert isinstance(active, nvidia.CudaDriver)
    assert active.get_current_device() == 1 and active.get_current_stream(1) == 1001
    assert active.get_device_capability(0) == (12, 0)
    target = active.get_current_target()
    assert (target.backend, target.arch, target.warp_size) == ("cuda", 120, 32)


def test_arrays_of_the_gpu_go_to_the_compiler(fake_cupy):
    calls = []

    class Kernel:
        fn, arg_names = _scale.fn, _scale.arg_names

        def __getitem__(self, grid):
            return lambda *arguments, **options: calls.append((grid, arguments, options))

    launch(Kernel(), (2,), FakeArray(), None, FakeArray(), 8, 1, 2.0, num_warps=8, BLOCK=32)
    ((grid, arguments, options),) = calls
    assert grid == (2, 1, 1) and options == dict(BLOCK=32, num_warps=8, num_stages=2, enable_fp_fusion=True)
    assert isinstance(arguments[0], Pointer) and arguments[0].data_ptr() == 4096 and arguments[0].dtype == "float32"
    assert arguments[1] is None and arguments[3:] == (8, 1, 2.0)
