"""Arithmetic on tensors against torch: values, broadcasting, precisions; and the finite differences that check the rest."""

from __future__ import annotations

import operator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from autograd import Tensor, gradcheck, ops
from autograd.engine import unbroadcast
from autograd.function import Function

BINARY = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv}


def draw(shape, seed, dtype="float64"):
    """Values of both signs that keep away from 0, so that one may divide by them."""
    values = np.random.default_rng(seed).uniform(0.5, 2, shape)
    return np.asarray(values * np.sign(np.random.default_rng(seed + 1).standard_normal(shape)), dtype)


def compare_with_torch(function, *arrays, rtol=1e-12):
    """Value and gradients of `function` on Tensors and on torch's."""
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, expected = function(*ours), function(*theirs)
    assert y.shape == tuple(expected.shape)
    upstream = draw(y.shape, 99, y.dtype)
    y.backward(upstream)
    expected.backward(torch.tensor(upstream))
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=rtol, atol=rtol)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.grad.shape == mine.shape and mine.grad.dtype == mine.dtype
        np.testing.assert_allclose(mine.grad, other.grad.numpy(), rtol=rtol, atol=10 * rtol)


@pytest.mark.parametrize("name", BINARY)
@given(shapes=mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=3, max_dims=4), seed=st.integers(0, 999))
def test_broadcasting_is_undone_as_in_torch(name, shapes, seed):
    x, y = (draw(shape, seed + i) for i, shape in enumerate(shapes.input_shapes))
    compare_with_torch(BINARY[name], x, y)


@given(data=st.data(), keepdims=st.booleans(), seed=st.integers(0, 999))
def test_sums_and_means_over_any_axes(data, keepdims, seed):
    shape = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple))
    axes = st.integers(-len(shape), len(shape) - 1)
    several = st.lists(axes, min_size=1, max_size=len(shape), unique_by=lambda a: a % len(shape)).map(tuple)
    axis = data.draw(axes | several)
    compare_with_torch(lambda x: x.sum(axis, keepdims), draw(shape, seed))
    compare_with_torch(lambda x: x.mean(axis, keepdims), draw(shape, seed))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 3 - x,
        lambda x: 2 / x,
        lambda x: x * 2 + 1,
        lambda x: -x,
        lambda x: x**2,
        lambda x: x**3,
        lambda x: (x * x) ** 0.5,
        lambda x: x**-1,
        lambda x: x / 4 - 0.25,
        lambda x: x.sum(),
        lambda x: x.mean(),
        lambda x: x.reshape(4, 6),
        lambda x: x.reshape(2, -1),
        lambda x: x[1],
        lambda x: x[-1, 1:],
        lambda x: x[..., 1],
        lambda x: x[:, None, ::2],
        lambda x: x[0, 1, 2],
        lambda x: x[2:],
        lambda x: x.exp(),
        lambda x: x.relu(),
        lambda x: x.tanh(),
        lambda x: x[0].T,
        lambda x: x[0] @ x[1].T,
        lambda x: x[0].T @ x[0],
    ],
)
@pytest.mark.parametrize("shape", [(2, 3, 4)])
def test_one_operand(function, shape):
    compare_with_torch(function, draw(shape, 5))
    compare_with_torch(function, draw(shape, 5, "float32"), rtol=2e-6)


def test_numpy_arrays_and_numbers_on_either_side():
    x, a = draw((2, 3), 0), draw((3,), 1)
    for name, op in BINARY.items():
        for f in (lambda t, op=op: op(t, a), lambda t, op=op: op(a, t), lambda t, op=op: op(1.5, t)):
            t = Tensor(x, requires_grad=True)
            y = f(t)
            assert isinstance(y, Tensor), name
            np.testing.assert_array_equal(y.data, f(x))
            assert y.requires_grad


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_is_kept(dtype):
    x = Tensor(draw((2, 3), 0, dtype), requires_grad=True)
    other = np.ones((2, 3))  # a float64 array
    y = (((x * 2.5 + other) / 3 - 1) ** 2).mean()
    y = y + ops.tanh(x).sum() + x.reshape(6)[1:3].sum() + (1 / (x + 10)).mean(axis=0).sum()
    y.backward()
    assert y.dtype == x.grad.dtype == dtype


def test_each_operand_has_a_gradient_of_its_own_precision():
    x, y = (Tensor(draw((2, 3), i, dtype), requires_grad=True) for i, dtype in enumerate(("float32", "float64")))
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == ("float32", "float64")


def test_what_a_tensor_is_made_of():
    assert Tensor([1, 2]).dtype == Tensor(3).dtype == Tensor(np.arange(3)).dtype == "float32"
    assert Tensor(np.ones(2)).dtype == Tensor([1.5]).dtype == "float64"
    assert Tensor(np.ones(2, "float16")).dtype == "float16"
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert float(x[1, 0]) == 3 and (np.eye(2)[:1] @ x).shape == (1, 2)
    assert (x.shape, x.ndim, x.size, len(x), x[1, 0].item()) == ((2, 2), 2, 4, 2, 3.0)
    copy = x.numpy()
    copy[:] = 0
    assert x.data.max() == 4
    assert "float64" in repr(x) and "cpu" in repr(x) and "made by mul" in repr(Tensor([1.0], requires_grad=True) * 2)


def test_the_gradient_of_a_number_is_an_array():
    x = Tensor(3.0, requires_grad=True)
    (x * x).backward()
    assert isinstance(x.grad, np.ndarray) and x.grad.shape == () and x.grad == 6


@pytest.mark.parametrize("shape", [(1, 3), (3,), (2, 1), (1,), ()])
def test_unbroadcast_sums_what_was_repeated(shape):
    grad = np.arange(6.0).reshape(2, 3)
    ones = torch.ones(shape, requires_grad=True)
    (ones * torch.tensor(grad)).sum().backward()
    np.testing.assert_array_equal(unbroadcast("op", grad, shape), ones.grad.numpy())
    assert grad.sum() == 15


# Finite differences


def double(*shape, seed=0):
    return Tensor(draw(shape, seed), requires_grad=True)


def test_gradcheck_passes_what_is_right():
    assert gradcheck(lambda x, y: ops.tanh(x * y) / (y + 5), [double(2, 3), double(3, seed=2)])
    assert gradcheck(
        lambda x, w, b: ops.conv2d(x, w, b, stride=2, padding=1, padding_mode="reflect"),
        [double(1, 4, 5, 2), double(3, 3, 2, 2, seed=3), double(2, seed=4)],
    )
    assert gradcheck(lambda x, w: ops.conv_norm_relu(x, w, activation="none"), [double(1, 4, 3, 2), double(1, 1, 2, 2)])


def test_gradcheck_leaves_its_inputs_as_they_were():
    x = double(2, 3)
    before = x.data.copy()
    gradcheck(lambda x: x * x, [x, Tensor(np.ones(2))][:1])
    np.testing.assert_array_equal(x.data, before)


class Cube(Function):
    def forward(self, x):
        self.save(x)
        return x**3

    def backward(self, dy):
        return self.settings["slope"](self.saved[0]) * dy


@pytest.mark.parametrize(
    ("slope", "right"),
    [
        (lambda x: 3 * x * x, True),
        (lambda x: 3.001 * x * x, False),
        (lambda x: 3 * x, False),
        (lambda x: np.where(np.arange(x.size).reshape(x.shape) == 4, np.nan, 3 * x * x), False),
        (lambda x: np.roll(3 * x * x, 1), False),
        (lambda x: 0 * x, False),
    ],
)
def test_gradcheck_tells_right_from_wrong(slope, right):
    if right:
        assert gradcheck(Cube(slope=slope), [double(2, 3)])
    else:
        with pytest.raises(AssertionError, match=r"gradcheck: input 0, element .* backward says"):
            gradcheck(Cube(slope=slope), [double(2, 3)])


def test_gradcheck_names_the_worst_element_and_wants_float64():
    slope = lambda x: 3 * x * x + np.eye(2, 3, 2)  # wrong at (0, 2) only
    with pytest.raises(AssertionError, match=r"input 1, element \(.*0.*, .*2.*\)"):
        gradcheck(lambda a, x: a + Cube(slope=slope)(x), [double(2, 3), double(2, 3, seed=1)])
    with pytest.raises(TypeError, match="input 0 is float32"):
        gradcheck(ops.tanh, [Tensor(np.ones(2, "float32"), requires_grad=True)])


def test_torch_is_the_judge_of_a_whole_expression():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((3, 1))

    def expression(x, y, tanh):
        h = tanh(x * y + 0.5)
        return ((h[:, 1:] - h[:, :-1]) ** 2 / (y * y + 1).sum()).sum() + (h.reshape(6, 4)[2] * 3).mean()

    x, y = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
    tx, ty = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    ours, theirs = expression(x, y, ops.tanh), expression(tx, ty, torch.tanh)
    ours.backward()
    theirs.backward()
    np.testing.assert_allclose(ours.data, theirs.detach(), rtol=1e-13)
    np.testing.assert_allclose(x.grad, tx.grad, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(y.grad, ty.grad, rtol=1e-12, atol=1e-14)


def test_minus_zero_is_not_taken_for_zero():
    x = Tensor(np.ones(1, np.float32))
    signs = [bool(np.signbit((x * zero).data[0])) for zero in (0.0, -0.0, 0.0, -0.0)]
    assert signs == [False, True, False, True]
