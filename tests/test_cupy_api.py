"""Every use that the product makes of CuPy exists in the installed CuPy, and the code for `cuda` runs on a stand-in for it."""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cupy
import numpy as np
import pytest

from autograd import Tensor, ops
from kernels import device as devices
from kernels import dispatch
from kernels.conv2d import reference as conv2d
from kernels.conv2d.geometry import Geometry
from kernels.device import Device
from kernels.gpu import interpreter, launch
from nn import Adam, PatchDiscriminator
from nn.module import Parameter
from tests import cases
from tests.cupy_calls import Use, uses
from tests.cupy_stand_in import Array, Library
from tests.harness import compare, truth
from tests.rounding import bounds
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.models.image_pool import ImagePool

ROOT = Path(__file__).parents[1]
# Arrays in these files may be CuPy's, so their methods are looked up too.
ON_DEVICE = [
    *(
        p
        for p in ROOT.glob("kernels/**/*.py")
        if p.stem in ("reference", "gpu", "device", "launch", "memory", "reduce")
    ),
    *ROOT.glob("autograd/**/*.py"),
    *(ROOT / name for name in ("nn/module.py", "nn/optim.py", "train/models/image_pool.py", "train/run/diagnose.py")),
]
ELSEWHERE = [
    p for d in ("kernels", "nn", "train", "benchmarks") for p in ROOT.glob(f"{d}/**/*.py") if p not in ON_DEVICE
]
NUMPY_ONLY = {"kernels/device.py": {"ndarray.ctypes"}}  # asked of NumPy's arrays alone, after a look at their type


def found(paths: list[Path], methods: bool) -> Iterator[tuple[str, Use]]:
    for path in paths:
        for use in uses(ast.parse(path.read_text(encoding="utf-8")), methods):
            yield path.relative_to(ROOT).as_posix(), use


ALL = [*found(ON_DEVICE, methods=True), *found(ELSEWHERE, methods=False)]


def complaints(source: str) -> list[str]:
    return [c for use in uses(ast.parse(source), methods=True) if (c := use.complaint())]


# -- as it is written


def test_cupy_has_every_name_and_keyword_that_is_used():
    wrong = [f"{f}: {c}" for f, u in ALL if u.name not in NUMPY_ONLY.get(f, ()) and (c := u.complaint())]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "name",
    ["lib.stride_tricks.sliding_window_view", "moveaxis", "stack", "split", "pad", "where", "isfinite", "broadcast_to",
     "ascontiguousarray", "cuda.runtime.getDeviceCount", "cuda.runtime.setDevice", "cuda.Device.compute_capability",
     "cuda.Stream.null.ptr", "cuda.runtime.CUDARuntimeError", "ndarray.astype", "ndarray.flags"],
)  # fmt: skip
def test_the_search_finds_what_is_there(name):
    assert name in {use.name for _, use in ALL}


@pytest.mark.parametrize(
    "source",
    ["xp.pad(x, 1, made_up=3)[xp.newaxis_of]", "xp_of(x).apply_over_axes(f, x)", "y = xp_of(x).sqrt(x, where=x > 0)",
     "x.sum(axis=0, where=m)", "x.astype(t, casting='unsafe', device=None)", "x.setflags(write=False)", "x.setfield(1, t)",
     "cupy.cuda.runtime.getDeviceNumber()", "cupy.cuda.Device(d).computeCapability", "cupy.cuda.runtime.setDevice()",
     "cupy.cuda.get_current_stream(d).pointer", "device.xp.errstate(all='ignore')", "xp.stack(x, axes=0)",
     "import_module('cupy').memory_pool()", "self.xp.asarray(x, like=y)", "xp.split(x, 2, 0, 1)",
     "cupy.get_default_memory_pool().peak_bytes()"],
)  # fmt: skip
def test_what_cupy_lacks_is_caught(source):
    assert complaints(source)


@pytest.mark.parametrize(
    "source",
    ["np.errstate(all='ignore')", "xp.pad(x, 1, mode='reflect')", "x.sum(axis=(), keepdims=True)", "x.transpose(0, 2, 1)",
     "x.astype(d, copy=False)", "xp.matmul(a, a, out=y)", "xp_of(x).concatenate(*xs, **settings)", "f.made_up(x)",
     "cupy.cuda.runtime.setDevice(0)", "xp.empty(shape, dtype)", "cupy.cuda.get_current_stream(0).ptr"],
)  # fmt: skip
def test_what_cupy_has_is_let_pass(source):
    assert not complaints(source)


def test_arithmetic_on_bfloat16_exists():
    """CuPy writes these kernels itself when gradients of two uses are added and losses weighted."""
    names = ["add", "subtract", "multiply", "true_divide", "negative", "greater", "isfinite", "maximum", "absolute"]
    assert not [name for name in names if not any("E" in kind for kind in getattr(cupy, name).types)]


# -- as it runs


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """The device `cuda`, on a stand-in for CuPy, with Triton's kernels interpreted."""

    def interpreted(kernel: Any, grid: tuple) -> Any:
        def run(*pointers: Any, num_warps: int, num_stages: int, enable_fp_fusion: bool, **constexprs: Any) -> None:
            interpreter.run(kernel, itertools.product(*map(range, grid)), grid, pointers, constexprs)

        return run

    monkeypatch.setitem(sys.modules, "cupy", Library())
    monkeypatch.setattr(devices, "_why_no_cuda", lambda: None)
    monkeypatch.setattr(launch, "use_cupy", lambda: None)
    monkeypatch.setattr("triton.runtime.jit.KernelInterface.__getitem__", interpreted)
    monkeypatch.setattr(launch.hooks, "matmul", "fp32")  # restored, whatever a model sets
    monkeypatch.setattr(launch.hooks, "cooperative", False)  # else Triton's driver is asked what fits this GPU
    devices.get_device.cache_clear()
    yield Device("cuda")
    devices.get_device.cache_clear()


@pytest.fixture
def references(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plain array code in the place of kernels."""
    monkeypatch.setattr(dispatch, "PREFERENCE", {"cuda": ("reference",)})
    dispatch.implementation.cache_clear()
    yield
    dispatch.implementation.cache_clear()


def place(array: np.ndarray | None, cuda: Device, strided: bool) -> Any:
    """`array` on the device; strided, as a view with gaps."""
    if array is None or not (strided and array.ndim):
        return None if array is None else cuda.asarray(array)
    spread = np.zeros([2 * n for n in reversed(array.shape)], array.dtype).T
    evens = (slice(None, None, 2),) * array.ndim
    spread[evens] = array
    return Array(spread)[evens]


def check(case: cases.Case, cuda: Device) -> None:
    """Forward and backward on CuPy arrays, against torch, with nothing from NumPy on the way."""
    leaves, expected, upstream = truth(case, "fp32")
    bound = bounds(case, "fp32", leaves, expected, upstream)
    inputs = {name: place(a, cuda, case.strided) for name, a in cases.arrays(case, "float32").items()}
    tensors = {n: None if a is None else Tensor(a, requires_grad=True, device=cuda) for n, a in inputs.items()}
    y = getattr(ops, case.op)(*tensors.values(), **case.settings)
    y.backward(place(upstream.astype("float32"), cuda, case.strided))
    results = {"y": y.data} | {f"d{name}": t.grad for name, t in tensors.items() if t is not None}
    assert all(isinstance(array, Array) for array in results.values())
    for name, array in results.items():
        compare(f"{case}: {name}", array.get(), expected[name], bound[name])


@pytest.mark.parametrize("case", cases.CASES, ids=str)
@pytest.mark.usefixtures("references")
def test_references_run_on_cupy_arrays(case, cuda):
    check(case, cuda)


@pytest.mark.parametrize("case", [c for c in cases.CASES if c.label in ("minimal", "non-contiguous")], ids=str)
def test_gpu_launchers_run_on_cupy_arrays(case, cuda):
    check(case, cuda)


@pytest.mark.parametrize("kind", ["references", "gpu"])
def test_adam_runs_on_cupy_arrays(kind, cuda, request):
    if kind == "references":
        request.getfixturevalue(kind)
    parameter = Parameter(np.ones((3, 5), np.float32))
    parameter.data, parameter.device = cuda.asarray(parameter.data), cuda
    parameter.grad = cuda.asarray(np.full((3, 5), 2, np.float32))
    Adam([parameter], lr=0.1).step()
    np.testing.assert_allclose(parameter.data.get(), 0.9, rtol=1e-6)


def test_arithmetic_runs_on_cupy_arrays(cuda):
    x = Tensor(np.arange(1, 7, dtype=np.float32).reshape(2, 3), requires_grad=True, device=cuda)
    y = ((2 - x) / (x + 1) * 3 - x**2)[:, 1:].reshape(4)
    (y.mean() + (-x).sum(axis=0, keepdims=True).sum(axis=1).sum()).backward()
    slope = -9 / (x.numpy() + 1) ** 2 - 2 * x.numpy()
    np.testing.assert_allclose(x.grad.get(), np.where([[0, 1, 1]], slope / 4, 0) - 1, rtol=1e-5)


@pytest.mark.usefixtures("references")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_step_runs_on_cupy_arrays(precision, cuda):
    """Networks, losses, pool, optimisers, state: everything that touches arrays, as on a GPU."""
    config = Config(device="cuda", precision=precision, ngf=2, ndf=2, n_blocks=1, netD="n_layers", n_layers_D=1,
                    crop_size=16, load_size=16, pool_size=1)  # fmt: skip
    model = CycleGAN(config)
    pictures = np.random.default_rng(0).uniform(-1, 1, (2, 1, 16, 16, 3)).astype(np.float32)
    losses = [model.step(*pictures) for _ in range(2)]
    assert np.isfinite([*losses[-1].values()]).all() and losses[0] != losses[1]
    assert all(isinstance(p.data, Array) for network in model.networks().values() for p in network.parameters())
    state = model.state_dict()
    model.load_state_dict(state)
    assert model.translate(pictures[0]).shape == (1, 16, 16, 3)


def test_the_pool_keeps_cupy_arrays(cuda):
    pool = ImagePool(1)
    shown = pool.query(cuda.asarray(np.ones((2, 4, 4, 3), np.float32)))
    assert isinstance(shown, Array) and isinstance(pool.images[0], Array)
    assert isinstance(pool.state_dict()["images"][0], np.ndarray)


# -- the stand-in refuses


@pytest.mark.parametrize(
    "wrong",
    [lambda xp, x: xp.sqrt(x, where=x > 0), lambda xp, x: xp.apply_over_axes(xp.sum, x, 0), lambda xp, x: x.setflags(),
     lambda xp, x: x + np.ones(3), lambda xp, x: np.ones(3) * x, lambda xp, x: np.asarray(x), lambda xp, x: np.stack([x]),
     lambda xp, x: xp.concatenate([x, np.ones(3)]), lambda xp, x: x.sum(where=True), lambda xp, x: x.ctypes,
     lambda xp, x: x.flags.writeable, lambda xp, x: xp.errstate(), lambda xp, x: xp.pad(x), lambda xp, x: xp.cuda.Stream(blocking=False), lambda xp, x: xp.cuda.Stream().wait(), lambda xp, x: np.sqrt(x)],
)  # fmt: skip
def test_the_stand_in_refuses_what_cupy_refuses(wrong, cuda):
    with pytest.raises((TypeError, AttributeError)):
        wrong(cuda.xp, cuda.asarray(np.ones(3, np.float32)))


def test_a_reference_with_a_call_that_cupy_lacks_is_caught(cuda, monkeypatch):
    monkeypatch.setattr(conv2d, "pad", lambda x, geometry: np.pad(x, 0))
    x = cuda.asarray(np.ones((1, 4, 4, 1), np.float32))
    with pytest.raises(TypeError, match="CuPy"):
        conv2d.forward(x, cuda.asarray(np.ones((1, 1, 1, 1), np.float32)), geometry=Geometry())


def test_the_stand_in_is_no_more_forgiving_than_numbers_allow(cuda):
    x = cuda.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert isinstance(x.sum(), Array) and x.sum().shape == () and isinstance(x[0, 0], Array)
    assert x.flags.c_contiguous and not x.T.flags.c_contiguous and x[:, 1:].data.ptr == x.data.ptr + 4
    before = x
    x += 1
    assert x is before and float(x[1, 2]) == 6
    assert PatchDiscriminator(ndf=2, n_layers=1, device=cuda)(Tensor(cuda.asarray(np.ones((1, 16, 16, 3), np.float32)))).device.name == "cuda"  # fmt: skip
