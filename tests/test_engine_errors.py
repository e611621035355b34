"""What the engine refuses, and that it says which op and which tensor are concerned."""

from __future__ import annotations

import re

import numpy as np
import pytest

import nn
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
    with pytest.raises(ValueError, match=r"add: x1 lives on cpu and x2 on interpret; .* Tensor\(array, device='cpu'\)"):
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


# What every op refuses. Its inputs by name, with a shape that it takes; and the rest of the call.

PICTURE, WEIGHT = (2, 5, 4, 3), (3, 3, 3, 6)
CALLS = {
    "add": ({"x1": (2, 3), "x2": (2, 3), "x3": (2, 3)}, {}),
    "batch_slice": ({"x": PICTURE}, {"start": 0, "stop": 1}),
    "bce_with_logits": ({"x": PICTURE}, {"target": 1.0}),
    "cast": ({"x": PICTURE}, {"dtype": "float64"}),
    "concat": ({"x1": PICTURE, "x2": PICTURE}, {}),
    "conditional_instance_norm": ({"x": PICTURE, "scale": (2, 3), "shift": (3,)}, {}),
    "conv2d": ({"x": PICTURE, "w": WEIGHT, "b": (6,)}, {}),
    "conv_norm_relu": ({"x": PICTURE, "w": WEIGHT, "skip": (2, 3, 2, 6)}, {}),
    "conv_transpose2d": ({"x": PICTURE, "w": WEIGHT, "b": (6,)}, {}),
    "conv_transpose_norm_relu": ({"x": PICTURE, "w": WEIGHT, "skip": (2, 10, 8, 6)}, {}),
    "div": ({"x": (2, 3), "y": (3,)}, {}),
    "dropout": ({"x": PICTURE}, {"p": 0.5, "key": 1}),
    "exp": ({"x": PICTURE}, {}),
    "getitem": ({"x": PICTURE}, {"index": 0}),
    "hinge_loss": ({"x": PICTURE}, {"target": 1.0}),
    "instance_norm": ({"x": PICTURE, "skip": PICTURE}, {}),
    "l1_loss": ({"x": PICTURE, "y": PICTURE}, {}),
    "leaky_relu": ({"x": PICTURE}, {}),
    "lsgan_loss": ({"x": PICTURE}, {"target": 1.0}),
    "matmul": ({"x": (2, 3), "y": (3, 4)}, {}),
    "mean": ({"x": PICTURE}, {}),
    "mul": ({"x": (2, 3), "y": (3,)}, {}),
    "pow": ({"x": PICTURE}, {"exponent": 2}),
    "reflection_pad": ({"x": PICTURE}, {"pad": 1}),
    "relu": ({"x": PICTURE}, {}),
    "reshape": ({"x": PICTURE}, {"shape": (-1,)}),
    "resize": ({"x": PICTURE}, {"size": (4, 4)}),
    "sub": ({"x": (2, 3), "y": (3,)}, {}),
    "sum": ({"x": PICTURE}, {}),
    "tanh": ({"x": PICTURE}, {}),
    "transpose": ({"x": (2, 3)}, {}),
}
CONVERTS = {"sub", "mul", "div", "matmul"}  # a number or array beside a Tensor
OPTIONAL = {"b", "skip"}
SHOWN = {"relu": "leaky_relu"}  # the op whose name appears


def call(op: str, **instead: object) -> Tensor:
    """The op of Tensors of ones, but for those given."""
    shapes, settings = CALLS[op]
    return getattr(ops, op)(*(instead.get(n, Tensor(np.ones(s, "float32"))) for n, s in shapes.items()), **settings)


INPUTS = [(op, name) for op, (shapes, _) in CALLS.items() for name in shapes]


def test_every_op_is_here_and_its_call_is_right():
    assert CALLS.keys() == {*ops.__all__}
    for op in CALLS:
        assert isinstance(call(op), Tensor)


WRONG = {
    "array": (np.ones((2, 5, 4, 3)), r"is a NumPy array of shape \(2, 5, 4, 3\), wanted a Tensor.*; write Tensor\({name}\)"),
    "number": (1.5, r"is the number 1.5, wanted a Tensor.*; write Tensor\(np.full\(shape, 1.5, np.float32\)\)"),
    "list": ([1.0, 2.0], r"is a list, wanted a Tensor.*; write Tensor\({name}\)"),
    "None": (None, r"is None, wanted a Tensor"),
    "text": ("horse.jpg", r"is a str, wanted a Tensor"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("op", "name"), INPUTS)
def test_what_is_no_tensor_is_named(op, name, wrong):
    value, message = WRONG[wrong]
    if (wrong == "None" and name in OPTIONAL) or (op in CONVERTS and wrong in ("number", "list")):
        return
    if op in CONVERTS and wrong == "array":  # as in NumPy: it is no error, unless there is no Tensor at all
        with pytest.raises(TypeError, match=f"{op}: x is a NumPy array"):
            getattr(ops, op)(value, value)
        return
    with pytest.raises(TypeError, match=f"^{SHOWN.get(op, op)}: {name} {message.format(name=name)}"):
        call(op, **{name: value})


@pytest.mark.parametrize(("op", "name"), [(op, name) for op, name in INPUTS if len(CALLS[op][0]) > 1])
def test_devices_that_differ_are_named(op, name):
    shapes, _ = CALLS[op]
    first, *others = shapes
    far = Tensor(np.ones(shapes[name], "float32"), device=Device("interpret"))
    where, other = ("interpret", others[0]) if name == first else ("cpu", name)
    there = "cpu" if name == first else "interpret"
    with pytest.raises(ValueError, match=rf"^{op}: {first} lives on {where} and {other} on {there}; .*'{where}'\)"):
        call(op, **{name: far})


SHAPED = ("conditional_instance_norm", "conv2d", "conv_norm_relu", "conv_transpose2d", "conv_transpose_norm_relu", "instance_norm", "reflection_pad", "resize")  # fmt: skip


@pytest.mark.parametrize(("op", "name"), [(op, name) for op, name in INPUTS if op in SHAPED])
def test_axes_too_few_or_too_many_are_named(op, name):
    shape = CALLS[op][0][name]
    for wrong in (shape[1:], (*shape, 1), ()):
        if (name, wrong) != ("scale", (3,)):  # one scale for all pictures
            hint = r".*; write x\[None\] for a batch of one" if (name, len(wrong)) == ("x", 3) else ""
            with pytest.raises(ValueError, match=rf"^{op}: {name} has shape {re.escape(str(wrong))}, wanted{hint}"):
                call(op, **{name: Tensor(np.ones(wrong, "float32"))})


@pytest.mark.parametrize(
    ("op", "name", "wrong", "message"),
    [
        ("conv2d", "w", (3, 3, 4, 6), r"\[R,S,C,K\] with C = 3, as in x \(2, 5, 4, 3\)"),
        ("conv2d", "w", (3, 3, 1, 6), r"\[R,S,C,K\] with C = 3"),
        ("conv2d", "w", (2, 3, 3, 4, 6), r"\[G,R,S,C,K\] with C = 3"),
        ("conv2d", "b", (1,), r"\[K\] with K = 6"),
        ("conv_transpose2d", "w", (3, 3, 6, 3), r"\[R,S,C,K\] with C = 3"),
        ("conv_norm_relu", "skip", (2, 3, 2, 1), r"\[N,P,Q,K\] with K = 6"),
        ("conv_norm_relu", "skip", (1, 3, 2, 6), r"\[N,P,Q,K\] with N = 2"),
        ("conv_norm_relu", "skip", (2, 3, 3, 6), r"\(2, 3, 2, 6\) as the output"),
        ("conv_norm_relu", "skip", (2, 1, 1, 6), r"\(2, 3, 2, 6\) as the output"),
        ("conv_transpose_norm_relu", "skip", (2, 9, 8, 6), r"\(2, 10, 8, 6\) as the output"),
        ("instance_norm", "skip", (2, 5, 1, 3), r"\[N,H,W,C\] with W = 4"),
        ("conditional_instance_norm", "scale", (1, 3), r"\[N,C\] with N = 2"),
        ("conditional_instance_norm", "shift", (2, 4), r"\[N,C\] with C = 3"),
        ("l1_loss", "y", (2, 5, 4, 1), r"\(2, 5, 4, 3\) as x has it"),
        ("l1_loss", "y", (), r"\(2, 5, 4, 3\) as x has it"),
    ],
)
def test_sizes_that_differ_are_named(op, name, wrong, message):
    with pytest.raises(ValueError, match=rf"^{op}: {name} has shape {re.escape(str(wrong))}, wanted {message}"):
        call(op, **{name: Tensor(np.ones(wrong, "float32"))})


def test_pictures_to_be_joined_or_added_must_fit():
    x, y = (Tensor(np.ones(shape)) for shape in ((2, 5, 4, 3), (2, 5, 3, 3)))
    for other in (y, Tensor(np.ones((5, 4, 3)))):
        with pytest.raises(ValueError, match=r"^concat: shapes \(2, 5, 4, 3\), .* differ elsewhere than along axis -1"):
            ops.concat(x, other)
    assert ops.concat(x, y, axis=2).shape == (2, 5, 7, 3)
    for op, name in ((ops.add, "add"), (ops.sub, "sub"), (ops.mul, "mul"), (ops.div, "div")):
        with pytest.raises(ValueError, match=rf"^{name}: shapes \(2, 5, 4, 3\) and \(2, 5, 3, 3\) do not broadcast"):
            op(x, y)
    with pytest.raises(TypeError, match="concat: nothing was given"):
        ops.concat()


@pytest.mark.parametrize(("op", "name"), [("conv2d", "w"), ("conv_transpose2d", "w"), ("conv_norm_relu", "w"), ("conv_norm_relu", "skip"), ("instance_norm", "skip")])  # fmt: skip
def test_precisions_that_differ_are_named(op, name):
    shape = CALLS[op][0][name]
    with pytest.raises(TypeError, match=rf"^{op}: x is float32 but {name} is float64; .*astype\('float32'\)"):
        call(op, **{name: Tensor(np.ones(shape))})


@pytest.mark.parametrize("op", ["lsgan_loss", "bce_with_logits", "hinge_loss"])
def test_a_label_that_is_no_number_is_named(op):
    x = Tensor(np.ones(PICTURE))
    with pytest.raises(TypeError, match=rf"^{op}: target is a Tensor of shape \(2, 5, 4, 3\), wanted a number"):
        getattr(ops, op)(x, x)
    with pytest.raises(TypeError, match=r"^pow: exponent is a Tensor"):
        x**x


@pytest.mark.parametrize(
    ("use", "error", "said"),
    [
        (lambda x: x.sqrt(), AttributeError, r"Tensor has no \.sqrt; write x \*\* 0\.5"),
        (lambda x: x.view(4), AttributeError, r"write \.reshape"),
        (lambda x: x.banana, AttributeError, r"no \.banana; autograd\.ops lists"),
        (np.exp, TypeError, r"write \.numpy\(\)"),
        (np.asarray, TypeError, r"write \.numpy\(\)"),
        (lambda x: x @ x[0], ValueError, r"matmul: y has shape \(2,\), wanted \[K,M\]"),
        (lambda x: x @ x[:1], ValueError, r"matmul: "),
    ],
)
def test_what_a_tensor_lacks_is_answered(use, error, said):
    with pytest.raises(error, match=said):
        use(leaf([1.0, 2.0], [3.0, 4.0]))


def test_what_is_no_number_makes_no_tensor():
    for value in (None, "horse", [None], np.array([1 + 2j])):
        with pytest.raises(TypeError, match=r"Tensor: .* is neither an array of numbers nor a number"):
            Tensor(value)


NETWORKS = {
    "ResnetGenerator": lambda device: nn.ResnetGenerator(ngf=2, n_blocks=1, device=device),
    "UnetGenerator": lambda device: nn.UnetGenerator(ngf=1, num_downs=5, device=device),
    "PatchDiscriminator": lambda device: nn.PatchDiscriminator(ndf=2, n_layers=1, device=device),
    "PixelDiscriminator": lambda device: nn.PixelDiscriminator(ndf=2, device=device),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_names_what_it_is_given(name):
    network, pictures = NETWORKS[name]("cpu"), np.ones((1, 32, 32, 3), np.float32)
    network(Tensor(pictures))
    for wrong, message in WRONG.values():
        with pytest.raises(TypeError, match=f"^{name}: x {message.format(name='x')}"):
            network(wrong)
    for shape, message in (
        ((1, 32, 32, 4), r"wanted \[N,H,W,3\]$"),
        ((1, 3, 32, 32), r"wanted \[N,H,W,3\]; channels come last: Tensor\(array.transpose\(0, 2, 3, 1\)\)"),
        ((32, 32, 3), r"wanted \[N,H,W,3\]; write x\[None\] for a batch of one"),
        ((32, 32), r"wanted \[N,H,W,3\]$"),
    ):
        with pytest.raises(ValueError, match=rf"^{name}: x has shape {re.escape(str(shape))}, {message}"):
            network(Tensor(np.ones(shape, np.float32)))
    with pytest.raises(ValueError, match=f"^{name}: x lives on interpret, the network on cpu; write .*device='cpu'"):
        network(Tensor(pictures, device="interpret"))
    with pytest.raises(ValueError, match=f"^{name}: x lives on cpu, the network on interpret; .*device='interpret'"):
        NETWORKS[name]("interpret")(Tensor(pictures))
    with pytest.raises(TypeError, match=f"^{name}: x is float64, the network's weights are float32; .*'float32'"):
        network(Tensor(pictures.astype("float64")))
    assert network.astype("float64")(Tensor(pictures.astype("float64"))).dtype == "float64"
