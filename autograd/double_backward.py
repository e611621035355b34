"""Gradients that can be differentiated again: what a penalty on a gradient needs.

`Tensor.backward` is fast because it works on arrays: what it computes has no history. `grad` walks the same graph, but makes
the gradients of ops, which leave a graph of their own behind; a loss made of them can be sent backward as any other. How
each op's gradients are made of ops says the table `GRADIENTS`, or `SIMPLER` where it is easier to say what the op itself is
made of. An op in neither has no second derivative here, and says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from autograd.checkpointing import Checkpointed
from autograd.engine import unbroadcast
from autograd.function import Function
from autograd.ops.arithmetic import Add, Div, Exp, GetItem, MatMul, Mul, Pow, Reshape, Sub, Sum, Transpose, exp
from autograd.ops.batch_slice import BatchSlice
from autograd.ops.cast import Cast, cast
from autograd.ops.conv2d import Conv2d
from autograd.ops.conv_norm_relu import ConvNormRelu, ConvTransposeNormRelu
from autograd.ops.conv_transpose2d import ConvTranspose2d
from autograd.ops.dropout import Dropout
from autograd.ops.instance_norm import InstanceNorm
from autograd.ops.leaky_relu import LeakyRelu, leaky_relu
from autograd.ops.mean import Mean
from autograd.ops.reflection_pad import ReflectionPad
from autograd.ops.resize import Resize
from autograd.ops.tanh import Tanh, tanh
from autograd.tensor import Tensor
from kernels.device import Array, xp_of


def grad(output: Tensor, inputs: Sequence[Tensor], upstream: Tensor | None = None) -> tuple[Tensor, ...]:
    """d(output)/d(input) for each of `inputs`, weighted by `upstream`, as Tensors with a history.

    upstream  Tensor of output's shape; by default ones: the gradient of output's sum

    Touches no `.grad` and frees nothing; PyTorch's `autograd.grad(..., create_graph=True)`. Within `no_grad` the results
    are plain values. Raises NotImplementedError for an op without a second derivative, ValueError for an input that
    `output` does not depend on.
    """
    if upstream is None:
        upstream = Tensor(xp_of(output.data).ones_like(output.data), device=output.device)
    if upstream.shape != output.shape:
        raise ValueError(f"grad: upstream gradient {upstream.shape} does not fit the tensor {output.shape}")
    found: dict[int, Tensor] = {}  # by id of the input
    wanted = {id(tensor) for tensor in inputs}
    ready: list[tuple[int, Function]] = []  # a heap, youngest first: see engine.py
    pending: dict[Function, Tensor] = {}

    def give(receiver: Tensor, g: Tensor) -> None:
        if id(receiver) in wanted:
            found[id(receiver)] = found[id(receiver)] + g if id(receiver) in found else g
        node = receiver.creator
        if node is None:
            return
        if node in pending:
            pending[node] = pending[node] + g
        else:
            pending[node] = g
            heapq.heappush(ready, (-node.serial, node))

    give(output, upstream)
    while ready:
        _, node = heapq.heappop(ready)
        dy = pending.pop(node)
        node.check_fresh()
        assert node.inputs is not None
        if type(node) in SIMPLER:
            give(
                SIMPLER[type(node)](node, *node.inputs), dy
            )  # its nodes are younger than all that wait: they come next
            continue
        if type(node) not in GRADIENTS:
            raise NotImplementedError(
                f"{node.name}: there is no gradient of its gradient; a penalty on gradients needs one for every op between "
                f"the input and the penalised output. Put {type(node).__name__} in the table of autograd/double_backward.py"
            )
        for receiver, need, shape, rule in zip(
            node.inputs, node.need, node.shapes, GRADIENTS[type(node)], strict=False
        ):
            if receiver is not None and need and (receiver.creator is not None or id(receiver) in wanted):
                give(receiver, unbroadcast(node.name, rule(node, dy, *node.inputs), shape))
    missing = [i for i, tensor in enumerate(inputs) if id(tensor) not in found]
    if missing:
        raise ValueError(f"grad: the output does not depend on input {missing[0]}, or that does not require a gradient")
    return tuple(found[id(tensor)] for tensor in inputs)


# Ops that only gradients are made of


class Adjoint(Function):
    """The backward of the linear op `of`: what it does to dy, the op itself undoes in *its* backward."""

    def forward(self, dy: Array) -> Array:
        return self.settings["of"].backward(dy)

    def backward(self, dx: Array) -> Array:
        return self.settings["of"].forward(dx)


class LeakyReluGradient(Function):
    """dy where y is positive, else slope * dy: linear in dy, and its own adjoint. y is as good as constant."""

    op = "leaky_relu"

    def forward(self, dy: Array) -> Array:
        return self.kernel.backward(dy, **self.settings)

    backward = forward


# A convolution is linear in its picture x and in its weight w. With the upstream gradient dy it makes one number out of
# three things, T(dy, x, w) = <dy, conv(x, w)>, linear in each; every gradient is T with one of them left out:
#
#     y  = conv(x, w)       T without dy
#     dx = Dgrad(dy, w)     T without x
#     dw = Wgrad(dy, x)     T without w
#
# The gradients of each of these are the other two, with the new upstream gradient in the empty place. So the three are
# closed: derivatives of any order need no further kernel.


class Dgrad(Function):
    """dx of the convolution `of`; `like` has its shape."""

    def forward(self, dy: Array, w: Array) -> Array:
        self.save(dy, w)
        return self.settings["of"].dgrad(dy, self.settings["like"], w)

    def backward(self, u: Array) -> tuple[Array | None, Array | None]:
        (dy, w), of, need = self.saved, self.settings["of"], self.need
        return of.fprop(u, w) if need[0] else None, of.wgrad(dy, u, w) if need[1] else None


class Wgrad(Function):
    """dw of the convolution `of`; `like` has its shape."""

    def forward(self, dy: Array, x: Array) -> Array:
        self.save(dy, x)
        return self.settings["of"].wgrad(dy, x, self.settings["like"])

    def backward(self, u: Array) -> tuple[Array | None, Array | None]:
        (dy, x), of, need = self.saved, self.settings["of"], self.need
        return of.fprop(x, u) if need[0] else None, of.dgrad(dy, x, u) if need[1] else None


# The tables


def block(n: Any, x: Tensor, w: Tensor, skip: Tensor | None) -> Tensor:
    """What a conv_norm_relu computes, or a conv_transpose_norm_relu."""
    convolution = ConvTranspose2d if isinstance(n, ConvTransposeNormRelu) else Conv2d
    z = convolution(geometry=n.settings["geometry"])(x, w, None)
    return InstanceNorm(norm=n.settings["norm"])(z, skip)


def norm(n: Any, x: Tensor, skip: Tensor | None) -> Tensor:
    """What an instance norm computes."""
    settings = n.settings["norm"]
    y = x - x.mean(axis=(1, 2), keepdims=True)
    y = y * ((y * y).mean(axis=(1, 2), keepdims=True) + settings.eps) ** -0.5
    if settings.activation != "none":
        y = leaky_relu(y, settings.negative_slope)
    return y if skip is None else y + skip


SIMPLER: dict[type[Function], Callable[..., Tensor]] = {
    ConvNormRelu: block,
    ConvTransposeNormRelu: block,
    InstanceNorm: norm,
    Mean: lambda n, x: x.sum() * (n.settings["weight"] / x.size),
    Checkpointed: lambda n, x, *weights: n.settings["block"](x),
}
"""(node, *inputs) -> what the op computes, made of simpler ops: the walk goes through those instead."""


def fprop(of: Any, x: Tensor, w: Tensor) -> Tensor:
    """The convolution `of`, of other arrays."""
    return type(of)(**of.settings)(x, w, None)


linear = (lambda n, dy, x: Adjoint(of=n)(dy),)
convolution = (
    lambda n, dy, x, w, b: Dgrad(of=n, like=x.data)(dy, w),
    lambda n, dy, x, w, b: Wgrad(of=n, like=w.data)(dy, x),
    lambda n, dy, x, w, b: dy.sum(axis=(0, 1, 2)) if b.ndim == 1 else dy.reshape(len(b), -1, b.shape[1]).sum(axis=1),
)

GRADIENTS: dict[type[Function], Iterable[Callable[..., Tensor]]] = {
    # op          gradient of the first input            of the second
    Add: repeat(lambda n, dy, *xs: dy),
    Sub: (lambda n, dy, x, z: dy, lambda n, dy, x, z: -dy),
    Mul: (lambda n, dy, x, z: dy * z, lambda n, dy, x, z: dy * x),
    Div: (lambda n, dy, x, z: dy / z, lambda n, dy, x, z: -dy * x / (z * z)),
    MatMul: (lambda n, dy, x, z: dy @ z.T, lambda n, dy, x, z: x.T @ dy),
    Pow: (lambda n, dy, x: dy * n.settings["exponent"] * x ** (n.settings["exponent"] - 1),),
    Exp: (lambda n, dy, x: dy * exp(x),),
    Cast: (lambda n, dy, x: cast(dy, x.dtype),),
    Tanh: (lambda n, dy, x: dy * (1 - tanh(x) ** 2),),
    LeakyRelu: (lambda n, dy, x: LeakyReluGradient(y=n.saved[0], **n.settings)(dy),),
    **dict.fromkeys((Sum, Reshape, Transpose, GetItem, BatchSlice, ReflectionPad, Resize, Dropout), linear),
    **dict.fromkeys((Adjoint, LeakyReluGradient), linear),
    **dict.fromkeys((Conv2d, ConvTranspose2d), convolution),
    Dgrad: (
        lambda n, u, dy, w: fprop(n.settings["of"], u, w),
        lambda n, u, dy, w: Wgrad(of=n.settings["of"], like=w.data)(dy, u),
    ),
    Wgrad: (
        lambda n, u, dy, x: fprop(n.settings["of"], x, u),
        lambda n, u, dy, x: Dgrad(of=n.settings["of"], like=x.data)(dy, u),
    ),
}
"""For each input of an op (node, upstream gradient, *inputs) -> its gradient; asked only where it is wanted."""
