"""The harness on implementations that are wrong on purpose: each must be turned away. A check that cannot fail checks nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.ops.conv2d import Conv2d
from autograd.ops.conv_norm_relu import ConvNormRelu
from autograd.ops.instance_norm import InstanceNorm
from autograd.ops.l1_loss import L1Loss
from autograd.ops.reflection_pad import ReflectionPad
from autograd.ops.tanh import Tanh
from kernels.conv2d.geometry import Geometry
from kernels.device import get_device
from kernels.instance_norm.reference import over_pixels, pixel_mean
from kernels.instance_norm.settings import SLOPES, NormSettings
from tests.cases import CASES, Case
from tests.harness import check_op, compare
from tests.tolerances import within

CPU = get_device("cpu")
PRECISIONS = ("fp32", "fp64")


def case_of(op: str, label: str) -> Case:
    return next(case for case in CASES if (case.op, case.label) == (op, label))


NORM = case_of("instance_norm", "ragged")  # two inputs of one shape: x and skip
CONV = case_of("conv2d", "ragged")  # three inputs


def norm(forward: Callable | None = None, backward: Callable | None = None) -> Callable[..., Tensor]:
    """The op instance_norm with what its forward or backward returns passed through a spoiler."""

    class Spoiled(InstanceNorm):
        def forward(self, x: Any, skip: Any) -> Any:
            self.x = x
            y = super().forward(x, skip)
            return forward(y, x) if forward else y

        def backward(self, dy: Any) -> Any:
            dx, dskip = super().backward(dy)
            return backward(dx, dskip, self.x, dy) if backward else (dx, dskip)

    return lambda x, skip=None, **settings: Spoiled(norm=NormSettings(**settings))(x, skip)


def one_nan(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flat[a.size // 2] = np.nan
    return a


def row_unwritten(a: np.ndarray) -> np.ndarray:
    out = np.empty(a.shape, a.dtype)
    out[:, :-1] = a[:, :-1]
    return out


def written_to(a: np.ndarray, result: Any) -> Any:
    a.flat[0] += 1
    return result


RNG = np.random.default_rng(0)


def last_bits(a: np.ndarray) -> np.ndarray:
    """Far within tolerance, but different every time."""
    return a * (1 + np.finfo(a.dtype).eps * RNG.integers(-1, 2, a.shape).astype(a.dtype))


def without_the_share_along_x_hat(dx: np.ndarray, dskip: np.ndarray, x: np.ndarray, dy: np.ndarray) -> Any:
    mean = pixel_mean(x)
    rstd = 1 / np.sqrt(pixel_mean((x - over_pixels(mean)) ** 2) + 1e-5)
    dy = np.where(x > over_pixels(mean), dy, 0) if NORM.settings["activation"] == "relu" else dy
    return over_pixels(rstd) * (dy - over_pixels(pixel_mean(dy))), dskip


WRONG_FORWARDS = {
    "scaled": lambda y, x: y * y.dtype.type(1.01),
    "off by a row": lambda y, x: np.roll(y, 1, axis=1),
    "one NaN": lambda y, x: one_nan(y),
    "a row unwritten": lambda y, x: row_unwritten(y),
    "another precision": lambda y, x: y.astype("float16"),
    "another shape": lambda y, x: y[:, :-1],
    "writes to its input": lambda y, x: written_to(x, y),
    "other bits each time": lambda y, x: last_bits(y),
}
WRONG_BACKWARDS = {
    "scaled": lambda dx, dskip, x, dy: (dx * dx.dtype.type(1.01), dskip),
    "scaled, second input": lambda dx, dskip, x, dy: (dx, dskip * dskip.dtype.type(1.01)),
    "a term dropped": without_the_share_along_x_hat,
    "off by a row": lambda dx, dskip, x, dy: (np.roll(dx, 1, axis=1), dskip),
    "one NaN": lambda dx, dskip, x, dy: (one_nan(dx), dskip),
    "a row unwritten": lambda dx, dskip, x, dy: (row_unwritten(dx), dskip),
    "swapped": lambda dx, dskip, x, dy: (dskip, dx),
    "none at all": lambda dx, dskip, x, dy: (np.zeros_like(dy), dskip),
    "another precision": lambda dx, dskip, x, dy: (dx.astype("float16"), dskip),
    "writes to its input": lambda dx, dskip, x, dy: written_to(x, (dx, dskip)),
    "writes to the upstream gradient": lambda dx, dskip, x, dy: written_to(dy, (dx, dskip)),
    "other bits each time": lambda dx, dskip, x, dy: (last_bits(dx), dskip),
    "missing": lambda dx, dskip, x, dy: (None, dskip),
}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_right_ones_pass(precision):
    check_op(NORM, CPU, precision, norm())
    check_op(NORM, CPU, precision, norm(lambda y, x: y, lambda dx, dskip, x, dy: (dx, dskip)))
    check_op(CONV, CPU, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("wrong", WRONG_FORWARDS)
def test_wrong_forwards_are_caught(wrong, precision):
    with pytest.raises(AssertionError, match="instance_norm-ragged"):
        check_op(NORM, CPU, precision, norm(forward=WRONG_FORWARDS[wrong]))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("wrong", WRONG_BACKWARDS)
def test_wrong_backwards_are_caught(wrong, precision):
    error = RuntimeError if wrong == "missing" else AssertionError  # a gradient left out is the engine's to notice
    with pytest.raises(error, match="instance_norm"):
        check_op(NORM, CPU, precision, norm(backward=WRONG_BACKWARDS[wrong]))


def spoilt_block(spoil: Callable[[Any], None]) -> Callable[..., Tensor]:
    """The fused block, with what its backward returns (dx, dw, dskip) or its output (alone) passed through a spoiler."""

    class Spoilt(ConvNormRelu):
        def forward(self, x: Any, w: Any, skip: Any) -> Any:
            y = super().forward(x, w, skip)
            spoil([y])
            return y

        def backward(self, dy: Any) -> Any:
            self.deferred = None  # dw is made at once, or what is spoilt would be made afterwards
            gradients = super().backward(dy)
            spoil(gradients)
            return gradients

    def block(x: Tensor, w: Tensor, skip: Tensor | None, activation: str = "relu", **geometry: Any) -> Tensor:
        return Spoilt(geometry=Geometry(**geometry), norm=NormSettings(activation))(x, w, skip)

    return block


def a_corner_of_9(results: Any, which: int, count: int) -> None:
    if len(results) == count:
        results[which][(0,) * results[which].ndim] = 9


@pytest.mark.parametrize(("which", "count", "name"), [(0, 1, "y"), (0, 3, "dx"), (1, 3, "dw")], ids=["y", "dx", "dw"])
@pytest.mark.parametrize("label", ["ragged", "relu-skip"])
def test_one_wrong_element_in_bfloat16_is_caught(label, which, count, name):
    case, device = case_of("conv_norm_relu", label), get_device("interpret")
    check_op(case, device, "bf16", spoilt_block(lambda results: None))
    with pytest.raises(AssertionError, match=f"{name} is wrong in 1 of"):
        check_op(case, device, "bf16", spoilt_block(lambda results: a_corner_of_9(results, which, count)))


def test_bfloat16_is_held_to_one_rounding():
    """y off by the distance to the next number of 8 digits, which is twice what rounding costs."""
    case = case_of("instance_norm", "ragged")
    check_op(case, get_device("interpret"), "bf16", norm(lambda y, x: y))
    with pytest.raises(AssertionError, match="y is wrong"):
        check_op(
            case, get_device("interpret"), "bf16", norm(lambda y, x: (y.astype("f4") * (1 + 2**-7)).astype(y.dtype))
        )


def test_what_passes_at_float32_must_still_be_right_at_float64():
    """A backward that computes in float32 whatever it is given."""
    wrong = norm(
        backward=lambda dx, dskip, x, dy: (None if dx is None else dx.astype("float32").astype(dx.dtype), dskip)
    )
    check_op(NORM, CPU, "fp32", wrong)
    with pytest.raises(AssertionError, match="dx is wrong"):
        check_op(NORM, CPU, "fp64", wrong)


class ContiguousOnly(Tanh):
    """Reads its input as if it had no gaps."""

    def forward(self, x: Any) -> Any:
        steps = np.ones(x.shape, x.dtype).strides
        return super().forward(np.lib.stride_tricks.as_strided(x, x.shape, steps))


class ContiguousGradientOnly(Tanh):
    """Reads its upstream gradient as if it had no gaps."""

    def backward(self, dy: Any) -> Any:
        return super().backward(np.lib.stride_tricks.as_strided(dy, dy.shape, np.ones(dy.shape, dy.dtype).strides))


@pytest.mark.parametrize("op", [ContiguousOnly, ContiguousGradientOnly])
def test_gaps_that_are_read_are_caught(op):
    check_op(case_of("tanh", "ragged"), CPU, "fp64", lambda x: op()(x))
    with pytest.raises(AssertionError, match="wrong"):
        check_op(case_of("tanh", "non-contiguous"), CPU, "fp64", lambda x: op()(x))


class WeightsNeedTheInput(Conv2d):
    """Its dw depends on whether dx was asked for too."""

    def backward(self, dy: Any) -> Any:
        dx, dw, db = super().backward(dy)
        return dx, dw if self.need[0] or dw is None else dw * 2, db


def test_a_gradient_that_depends_on_which_others_are_wanted_is_caught():
    wrong = lambda x, w, b, **geometry: WeightsNeedTheInput(geometry=Geometry(**geometry))(x, w, b)
    with pytest.raises(AssertionError, match="w alone: dw has other bits"):
        check_op(CONV, CPU, "fp64", wrong)


class SignWithoutZero(L1Loss):
    def backward(self, dloss: Any) -> Any:
        (dx,) = self.saved
        dx = dloss * np.where(dx == 0, dx.dtype.type(1 / dx.size), dx)
        return dx, -dx if self.need[1] else None


class EdgeTwice(ReflectionPad):
    """Mirrors with the edge repeated, as `symmetric` padding does."""

    def forward(self, x: Any) -> Any:
        pad = self.settings["pad"]
        return np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="symmetric")


def spreading_everywhere(x: Tensor, skip: Tensor | None = None, *, activation: str = "none", **_: Any) -> Tensor:
    """Divides by n-1 where n is meant."""
    n = x.shape[1] * x.shape[2]
    centred = x - x.mean(axis=(1, 2), keepdims=True)
    variance = (centred * centred).sum(axis=(1, 2), keepdims=True) * (1 / max(1, n - 1))
    y = (
        ops.leaky_relu(centred / (variance + 1e-5) ** 0.5, SLOPES.get(activation, 0.2))
        if activation != "none"
        else centred
    )
    return y if skip is None else y + skip


@pytest.mark.parametrize(
    ("op", "label", "wrong"),
    [
        ("l1_loss", "degenerate", lambda x, y: SignWithoutZero()(x, y)),
        ("reflection_pad", "minimal", lambda x, pad: EdgeTwice(pad=pad)(x)),
        ("leaky_relu", "degenerate", lambda x, slope: (x + abs(x.data)) * 0.5 + (x - abs(x.data)) * (slope / 2)),
        ("instance_norm", "ragged", spreading_everywhere),
        ("lsgan_loss", "real", lambda x, target: ((x - target) ** 2).sum() * (1 / (x.size - 1))),
        ("lsgan_loss", "fake", lambda x, target: ops.lsgan_loss(x, 1 - target)),
        ("resize", "nearest-down", lambda x, size, mode: ops.resize(x, size, "bilinear")),
    ],
)
def test_usual_mistakes_are_caught(op, label, wrong):
    with pytest.raises(AssertionError, match=f"{op}-{label}"):
        check_op(case_of(op, label), CPU, "fp64", wrong)


def test_compare_is_exact_at_its_bound_and_takes_no_nan():
    truth = np.array([1.0, -2.0, 0.0])
    compare("x", truth + np.array([0.5, 0, 0]), truth, np.array([0.5, 0, 0]))
    assert within(truth, 0.5, 0).tolist() == [0.5, 1, 0] and within(truth, 0, 0.25).tolist() == [0.5] * 3
    for wrong in ([0.51, 0, 0], [0, 0, 1e-9], [np.nan, 0, 0], [np.inf, 0, 0]):
        with pytest.raises(AssertionError, match="wrong in 1 of 3"):
            compare("x", truth + np.array(wrong), truth, np.array([0.5, 1, 0]))
    with pytest.raises(AssertionError, match="has shape"):
        compare("x", truth[:, None], truth, 1)
    with pytest.raises(AssertionError, match="wrong"):
        compare("x", truth, np.array([1.0, -2.0, np.nan]), 1)
    with pytest.raises(AssertionError, match="wrong"):
        compare("x", truth, truth, np.nan)
