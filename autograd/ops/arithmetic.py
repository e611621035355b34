"""Elementwise arithmetic and reshaping, straight on arrays: only sums, which every training step has, have a kernel.

Operands broadcast as in NumPy; the backwards return gradients of the broadcast shape and the engine sums them back.
"""

from __future__ import annotations

import builtins
import functools
from typing import Any

import numpy as np

from autograd.checks import check_numbers
from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array, Device, xp_of


class Elementwise(Function):
    """An op of two operands (a sum may have more), which broadcast."""

    takes = "x, y"

    def __call__(self, *inputs: Any) -> Tensor:
        shapes = {t.shape for t in inputs if isinstance(t, Tensor)}
        try:
            if len(shapes) > 1:
                np.broadcast_shapes(*shapes)
        except ValueError:
            given = " and ".join(str(t.shape) for t in inputs)
            raise ValueError(f"{self.name}: shapes {given} do not broadcast: sides must agree or be 1") from None
        return super().__call__(*inputs)


class Add(Elementwise):
    op = "add"
    takes = "*"

    def backward(self, dz: Array) -> tuple[Array, ...]:
        return (dz,) * len(self.shapes)


class Sub(Elementwise):
    def forward(self, x: Array, y: Array) -> Array:
        return x - y

    def backward(self, dz: Array) -> tuple[Array, Array]:
        return dz, -dz


class Mul(Elementwise):
    def forward(self, x: Array, y: Array) -> Array:
        self.save(x, y)
        return x * y

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.saved
        return dz * y, dz * x


class Div(Elementwise):
    def forward(self, x: Array, y: Array) -> Array:
        self.save(x, y)
        return x / y

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.saved
        return dz / y, -dz * x / (y * y)


class Pow(Function):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return x ** self.settings["exponent"]

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved
        exponent = self.settings["exponent"]
        return dy * exponent * x ** (exponent - 1)


class Exp(Function):
    def forward(self, x: Array) -> Array:
        y = xp_of(x).exp(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved
        return dy * y


class Sum(Function):
    def forward(self, x: Array) -> Array:
        return xp_of(x).asanyarray(x.sum(**self.settings))

    def backward(self, dy: Array) -> Array:
        (shape,) = self.shapes
        axis = self.settings["axis"]
        if axis is not None and not self.settings["keepdims"]:
            axes = (axis,) if isinstance(axis, int) else axis
            dy = xp_of(dy).expand_dims(dy, tuple(a % len(shape) for a in axes))
        return xp_of(dy).broadcast_to(dy, shape)


class Reshape(Function):
    view = True

    def forward(self, x: Array) -> Array:
        return x.reshape(self.settings["shape"])

    def backward(self, dy: Array) -> Array:
        return dy.reshape(self.shapes[0])


class Transpose(Function):
    takes = "x [N,M]"
    view = True

    def forward(self, x: Array) -> Array:
        return x.T

    def backward(self, dy: Array) -> Array:
        return dy.T


class MatMul(Function):
    takes = "x [N,K], y [K,M]"

    def forward(self, x: Array, y: Array) -> Array:
        self.save(x, y)
        return x @ y

    def backward(self, dz: Array) -> tuple[Array, Array]:
        x, y = self.saved
        return dz @ y.T, x.T @ dz


class GetItem(Function):
    view = True

    def forward(self, x: Array) -> Array:
        return x[self.settings["index"]]

    def backward(self, dy: Array) -> Array:
        dx = xp_of(dy).zeros_like(dy, shape=self.shapes[0])
        dx[self.settings["index"]] = dy
        return dx


def add(x: Any, *others: Any) -> Tensor:
    """x + y + ..., from left to right; two operands may be a tensor and a number."""
    return Add()(*(_pair(x, *others) if len(others) == 1 else (x, *others)))


def sub(x: Any, y: Any) -> Tensor:
    """x - y"""
    return Sub()(*_pair(x, y))


def mul(x: Any, y: Any) -> Tensor:
    """x * y"""
    return Mul()(*_pair(x, y))


def div(x: Any, y: Any) -> Tensor:
    """x / y"""
    return Div()(*_pair(x, y))


def pow(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent, for a number as exponent"""
    check_numbers("pow", {"exponent": exponent})
    return Pow(exponent=exponent)(x)


def exp(x: Tensor) -> Tensor:
    """e ** x"""
    return Exp()(x)


def sum(x: Tensor, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (all axes: one number)."""
    return Sum(axis=axis, keepdims=keepdims)(x)


def reshape(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same values in another shape."""
    return Reshape(shape=shape)(x)


def transpose(x: Tensor) -> Tensor:
    """[N,M] -> [M,N]"""
    return Transpose()(x)


def matmul(x: Any, y: Any) -> Tensor:
    """x @ y: [N,K] by [K,M] -> [N,M]. For exercises: the networks' products are convolutions, kernels/conv2d."""
    return MatMul()(*_pair(x, y))


def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index] for numbers and slices (no index arrays: a repeated index would need a scatter-add)."""
    parts = index if isinstance(index, tuple) else (index,)
    if not builtins.all(p is None or p is Ellipsis or isinstance(p, int | slice) for p in parts):
        raise TypeError(f"getitem: index {index!r} is not made of numbers and slices")
    return GetItem(index=index)(x)


def _pair(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Both operands as tensors; a number, list or array takes the precision and device of the other."""
    like = x if isinstance(x, Tensor) else y
    if not isinstance(like, Tensor):
        return x, y  # to be refused
    x, y = (
        value if value is None or isinstance(value, Tensor | str) else Tensor(_array(value, like), device=like.device)
        for value in (x, y)
    )
    return x, y


def _array(value: Any, like: Tensor) -> Array:
    if isinstance(value, int | float) and like.device.xp is np:
        return constant(value, str(value).startswith("-"), like.device, like.dtype)
    return like.device.asarray(value, dtype=like.dtype)


@functools.lru_cache(1000)
def constant(value: float, minus: bool, device: Device, dtype: Any) -> Array:
    """A number as NumPy's array: always the same one, so that a step that is noted knows it for a constant. `minus` tells -0.0
    from 0.0, which is equal."""
    return device.asarray(value, dtype=dtype)
