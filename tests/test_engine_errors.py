"""What the engine refuses, and that it says which op and which tensor are concerned."""

from __future__ import annotations

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.function import Function
from autograd.ops.arithmetic import Mul
from kernels.device import Device


def leaf(*values, dtype="float64"):
    return Tensor(np.array(values, dtype), requires_grad=True)


def test_backward_twice_names_the_op_that_was_freed():
    x = leaf(1.0)
    y = ops.tanh(x)
    y.backward()
    with pytest.raises(RuntimeError, match=r"tanh: backward was already run .* run the forward again"):
        y.backward()
    hidden = x * 2
    hidden.sum().backward()
    with pytest.raises(RuntimeError, match="mul: backward was already run"):
        (hidden + 1).sum().backward()  # a new op on a used graph


def test_a_stale_graph_names_the_op_and_the_tensor():
    w, x = leaf(*[2.0] * 3), leaf(*[1.0] * 3)
    y = (w * x).sum()
    w.data -= 0.1
    w.changed()
    with pytest.raises(RuntimeError, match=r"mul: a \(3,\) tensor .* changed in place .*version 0, now 1"):
        y.backward()
    assert x.grad is None


def test_a_changed_tensor_that_nobody_saved_is_no_error():
    w = leaf(1.0)
    y = w + 1  # needs no values
    w.data += 1
    w.changed()
    y.backward()
    assert w.grad == 1


def test_a_stale_view_is_noticed_too():
    w = leaf(1.0, 2.0, 3.0, 4.0)
    for view in (lambda: w.reshape(2, 2), lambda: w[1:], lambda: w.reshape(4, 1)[:2]):
        y = (view() * view()).sum()
        w.data += 1
        w.changed()
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


def test_backward_needs_a_graph_and_a_fitting_gradient():
    with pytest.raises(RuntimeError, match="does not depend on anything"):
        Tensor([1.0]).backward()
    with pytest.raises(ValueError, match=r"shape \(2,\) needs an upstream gradient"):
        (leaf(1.0, 2.0) * 2).backward()
    with pytest.raises(ValueError, match=r"upstream gradient \(3,\) does not fit the tensor \(2,\)"):
        (leaf(1.0, 2.0) * 2).backward(np.ones(3))


def test_devices_do_not_mix():
    far = Tensor(np.ones(2), device=Device("interpret"))
    with pytest.raises(ValueError, match=r"add: inputs live on different devices \(cpu, interpret\)"):
        leaf(1.0, 2.0) + far
    with pytest.raises(ValueError, match="unknown device 'gpu'; wanted auto, cpu, cuda, interpret"):
        Tensor([1.0], device="gpu")
    with pytest.raises(TypeError, match="takes an array, not a Tensor"):
        Tensor(leaf(1.0))


class Wrong(Mul):
    """x * y with the gradients it is told to give."""

    def backward(self, dz):
        return self.settings["give"](dz)


@pytest.mark.parametrize(
    ("give", "error", "message"),
    [
        (lambda dz: (dz[:1], dz), RuntimeError, r"wrong: backward gave a gradient of shape \(1, 3\) for .* \(2, 3\)"),
        (lambda dz: (dz, None), RuntimeError, "wrong: backward gave no gradient"),
    ],
)
def test_a_backward_that_gives_the_wrong_thing_is_named(give, error, message):
    x, y = (Tensor(np.ones((2, 3)), requires_grad=True) for _ in range(2))
    with pytest.raises(error, match=message):
        Wrong(give=give)(x, y).backward(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("op", "wrong", "message"),
    [
        (ops.conv2d, {"padding_mode": "mirror"}, "unknown padding_mode 'mirror'; wanted zeros or reflect"),
        (ops.conv_norm_relu, {"padding_mode": "mirror"}, "unknown padding_mode 'mirror'"),
        (ops.conv_norm_relu, {"activation": "gelu"}, "unknown activation 'gelu'; wanted none, relu or leaky_relu"),
    ],
)
def test_an_unknown_setting_is_named(op, wrong, message):
    with pytest.raises(ValueError, match=message):
        op(Tensor(np.ones((1, 4, 4, 2))), Tensor(np.ones((3, 3, 2, 2))), **wrong)
    with pytest.raises(ValueError, match="unknown activation"):
        ops.instance_norm(Tensor(np.ones((1, 4, 4, 2))), activation="gelu")


def test_a_backward_with_too_few_gradients_is_named():
    class Forgetful(Function):
        def forward(self, x, y):
            return x + y

        def backward(self, dy):
            return dy

    with pytest.raises(RuntimeError, match="forgetful: backward gave 1 gradients for 2 inputs"):
        Forgetful()(leaf(1.0), leaf(2.0)).backward()
