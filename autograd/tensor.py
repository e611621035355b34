"""Tensor: an array, where it lives, and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kernels.device import Array, Device, get_device, to_host, xp_of
from kernels.dispatch import implementation

if TYPE_CHECKING:
    from autograd.function import Function


INSTEAD = {
    "abs": "|x| as (x * x) ** 0.5",
    "clone": "Tensor(x.numpy())",
    "cpu": ".numpy(), a copy in host memory",
    "cuda": "Tensor(array, device='cuda')",
    "log": "gradients of logarithms by autograd.ops.bce_with_logits, or .numpy() without them",
    "matmul": "x @ y",
    "permute": ".T of two axes; pictures stay [N,H,W,C]",
    "sigmoid": "1 / (1 + (-x).exp())",
    "sqrt": "x ** 0.5",
    "to": "Tensor(array, device=…), or autograd.ops.cast for another precision",
    "tolist": ".numpy().tolist()",
    "transpose": ".T of two axes; pictures stay [N,H,W,C]",
    "view": ".reshape(…)",
    "zero_grad": "x.grad = None, or an optimizer's zero_grad()",
}
"""What other libraries' tensors have, and what is written here."""


class Tensor:
    """An n-dimensional float array that remembers the op that made it.

    data           array, list or number; floats keep their precision, anything else becomes float32
    requires_grad  whether `backward` should leave a gradient here
    device         a device name or Device; by default the one the array lives on ("cpu" for NumPy)

    `.data` and `.grad` are arrays on the tensor's device. A tensor made by an op has that op as its `creator`;
    one made by hand is a leaf.
    """

    __array_priority__ = 100  # numpy_array + tensor asks the tensor first
    ops: ClassVar[Any]  # the ops that the operators below call: autograd/ops, which is built on this class and sets it

    def __init__(self, data: Any, requires_grad: bool = False, device: str | Device | None = None) -> None:
        if isinstance(data, Tensor):
            raise TypeError("Tensor(...) takes an array, not a Tensor; use .detach() for one without its history")
        if device is None:
            device = "cuda" if hasattr(data, "get") and hasattr(data, "device") else "cpu"
        self.device = get_device(device) if isinstance(device, str) else device
        array = self.device.asarray(data)
        if not is_float(array):
            if array.dtype.kind not in "iub":
                raise TypeError(f"Tensor: {data!r} is neither an array of numbers nor a number")
            array = self.device.asarray(array, dtype=np.float32)
        self.data: Array = array
        self.requires_grad = requires_grad
        self.arrived: tuple[Array, ...] = ()  # gradients that have come, to be added up
        self.creator: Function | None = None
        self.changes = [0]  # how often `data` was changed in place; views of one array share the count
        self.retains_grad = False

    # -- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def version(self) -> int:
        """Counts in-place changes of `data`."""
        return self.changes[0]

    def numpy(self) -> np.ndarray:
        """A copy of the data in host memory."""
        return np.array(to_host(self.data))

    def item(self) -> float:
        """The value of a one-element tensor."""
        return float(self.data.item())

    __float__ = item

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("NumPy would drop the tensor's history: write .numpy() for its values")

    def __getattr__(self, name: str) -> Any:
        use = (
            f"; write {INSTEAD[name]}"
            if name in INSTEAD
            else "; autograd.ops lists what there is, .numpy() has NumPy's"
        )
        raise AttributeError(f"Tensor has no .{name}{use}", name=name, obj=self)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        made_by = f", made by {self.creator.name}" if self.creator else ""
        wanted = ", requires_grad" if self.requires_grad and not self.creator else ""
        return (
            f"Tensor({np.array2string(to_host(self.data), threshold=20)}, {self.dtype}, {self.device}{made_by}{wanted})"
        )

    # -- gradients

    @property
    def grad(self) -> Array | None:
        """The sum of the gradients that have arrived since it was last set to None."""
        return total(self, self.arrived) if self.arrived else None

    @grad.setter
    def grad(self, value: Array | None) -> None:
        self.arrived = () if value is None else (value,)

    @property
    def terms(self) -> int:
        """How many gradients may wait to be added up by whoever follows them."""
        return 1

    def take(self, arrays: Sequence[Array]) -> None:
        """More gradients have arrived: added up, left to right, where there are more than `terms`.

        The old arrays are not written to: others may hold them.
        """
        self.arrived = (*self.arrived, *arrays)
        if len(self.arrived) > self.terms or any(a.dtype != self.dtype for a in arrays):
            self.grad = self.grad

    def backward(self, grad: Array | None = None) -> None:
        """Add d(self)/d(leaf), weighted by `grad`, to `.grad` of every leaf that requires it; see engine.py."""
        raise NotImplementedError  # set by engine.py

    def retain_grad(self) -> Tensor:
        """Ask `backward` to leave a gradient here too, though this is not a leaf."""
        self.retains_grad = True
        return self

    def detach(self) -> Tensor:
        """The same data without its history."""
        return Tensor(self.data, device=self.device).views(self)

    def views(self, other: Tensor) -> Tensor:
        """Say that this tensor's data is (part of) the other's, so that a change of one is noticed in both."""
        self.changes = other.changes
        return self

    def changed(self) -> None:
        """Tell the engine that `data` was changed in place; graphs that saved the old values now refuse to run."""
        self.changes[0] += 1

    # -- arithmetic (autograd/ops/arithmetic.py), broadcasting as NumPy does

    def __add__(self, other: Any) -> Tensor:
        return self.ops.add(self, other)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Tensor:
        return self.ops.mul(self, other)

    __rmul__ = __mul__

    def __neg__(self) -> Tensor:
        return self.ops.mul(self, -1.0)

    def __sub__(self, other: Any) -> Tensor:
        return self.ops.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return self.ops.sub(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return self.ops.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return self.ops.div(other, self)

    def __pow__(self, exponent: float) -> Tensor:
        return self.ops.pow(self, exponent)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        return self.ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        total = self.sum(axis=axis, keepdims=keepdims)
        return total * (total.size / self.size)

    def __matmul__(self, other: Any) -> Tensor:
        return self.ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return self.ops.matmul(other, self)

    @property
    def T(self) -> Tensor:
        return self.ops.transpose(self)

    def exp(self) -> Tensor:
        return self.ops.exp(self)

    def relu(self) -> Tensor:
        return self.ops.relu(self)

    def tanh(self) -> Tensor:
        return self.ops.tanh(self)

    def reshape(self, *shape: int) -> Tensor:
        return self.ops.reshape(self, shape)

    def __getitem__(self, index: Any) -> Tensor:
        return self.ops.getitem(self, index)


def total(leaf: Tensor, arrays: Sequence[Array]) -> Array:
    """The sum of gradients of a leaf, in its own precision, whatever mixture an op made."""
    return leaf.device.asarray(implementation("add", leaf.device).forward(*arrays), dtype=leaf.dtype)


def is_float(array: Array) -> bool:
    """Whether the elements are floats; bfloat16 is one, though NumPy calls it a void."""
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def zeros_like(tensor: Tensor) -> Array:
    """An array of zeros of the tensor's shape, type and device."""
    return xp_of(tensor.data).zeros_like(tensor.data)
