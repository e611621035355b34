"""Module: something with parameters and a forward. Parameter: a tensor that is trained.

State is exchanged in PyTorch's key names and layouts, so that weights travel to and from the reference implementation (junyanz/pytorch-CycleGAN-and-pix2pix).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from autograd import Tensor
from autograd.ops import cast
from kernels.device import Array, to_host
from kernels.dispatch import implementation


class Parameter(Tensor):
    """A leaf tensor that belongs to a module.

    torch_axes  the transposition from our layout to PyTorch's, e.g. (3, 2, 0, 1) from [R,S,C,K] to [K,C,R,S]
    trained     False for a tensor kept for exchange only (a bias ahead of an instance norm)
    """

    def __init__(self, data: Any, torch_axes: tuple[int, ...] | None = None, trained: bool = True) -> None:
        for room in _rooms:
            room.take(data.size)
        super().__init__(data, requires_grad=trained)
        self.torch_axes = torch_axes or tuple(range(self.ndim))
        self.trained = trained
        self.low: Array | None = None  # a copy in bfloat16, at one place from its first use on
        self.low_version = -1  # of which it is a copy

    @property
    def terms(self) -> int:
        """How many gradients may wait for the optimizer, whose kernel adds them up on its way."""
        return getattr(implementation("adam", self.device), "TERMS", 1)

    def for_input(self, x: Tensor) -> Tensor:
        """The parameter as a layer's input wants it: itself, or in bfloat16 if the input is.

        The master copy stays float32. It is converted once per change, not once per use.
        """
        if x.dtype == self.dtype or x.dtype.name != "bfloat16":
            return self
        if self.low is None:
            self.low = implementation("cast", self.device).forward(self.data, dtype=x.dtype)
            self.low_is_current()
        self.refresh()
        return cast(self, x.dtype, ready=self.low)

    def has_low(self) -> bool:
        """Whether there is a copy in bfloat16 of the present values."""
        return self.low is not None and self.low_version == self.version

    def low_is_current(self) -> None:
        """Say that the copy in bfloat16 is one of the present values."""
        self.low_version = self.version

    def refresh(self) -> None:
        """Make the copy in bfloat16, if there is one, one of the present values, where it is: a recorded step reads it there."""
        if self.low is not None and not self.has_low():
            self.low[...] = implementation("cast", self.device).forward(self.data, dtype=self.low.dtype)
            self.low_is_current()

    def to_torch(self) -> np.ndarray:
        """A host copy in PyTorch's layout."""
        return np.ascontiguousarray(to_host(self.data).transpose(self.torch_axes)).copy()

    def from_torch(self, array: Array) -> None:
        """Take values from an array in PyTorch's layout, in place."""
        back = tuple(int(i) for i in np.argsort(self.torch_axes))
        self.data[...] = self.device.asarray(np.asarray(array).transpose(back), dtype=self.dtype)
        self.changed()


class _Room:
    """How many numbers parameters may still take."""

    def __init__(self, numbers: int) -> None:
        self.numbers = self.left = numbers

    def take(self, numbers: int) -> None:
        self.left -= numbers
        if self.left < 0:
            raise ValueError(f"a network of more than {self.numbers:,} numbers, the most there is room for here")


_rooms: list[_Room] = []
SLACK = 1 << 20  # numbers that a network may have beyond those of its file, so that a missing layer is told by its name


@contextlib.contextmanager
def at_most(numbers: int) -> Iterator[None]:
    """Within this context, parameters of more than so many numbers in all are refused by ValueError, before any is drawn."""
    _rooms.append(_Room(numbers))
    try:
        yield
    except MemoryError:  # of a single layer that the system refused at once
        raise ValueError(f"a network of far more than {numbers:,} numbers, the most there is room for here") from None
    finally:
        _rooms.pop()


class Module:
    """A layer or network. Parameters and sub-modules are found among its attributes, in the order they were set."""

    def forward(self, *inputs: Any, **settings: Any) -> Tensor:
        raise NotImplementedError

    def __call__(self, *inputs: Any) -> Tensor:
        output = self.forward(*inputs)
        for observe in _observers:
            observe(self, inputs, output)
        return output

    # -- structure

    def children(self) -> Iterator[tuple[str, Module]]:
        """Direct sub-modules with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and everything below it, depth first, with dotted names."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters below this module under their PyTorch names."""
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    yield (f"{prefix}.{name}" if prefix else name), value

    def parameters(self) -> list[Parameter]:
        """The parameters that are trained."""
        return [p for _, p in self.named_parameters() if p.trained]

    # -- training

    def requires_grad_(self, flag: bool = True) -> None:
        """Let the parameters collect gradients, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad = flag

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters():
            parameter.grad = None

    # -- state

    def state_dict(self) -> dict[str, np.ndarray]:
        """Host copies of all parameters, in PyTorch's names and layouts."""
        return {name: p.to_torch() for name, p in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Take all parameters from `state`, strictly: ValueError lists missing, unknown and misshapen entries."""
        own = dict(self.named_parameters())
        problems = [f"missing {key}" for key in own if key not in state]
        problems += [f"unknown {key}" for key in state if key not in own]
        for key in (key for key in own if key in state):
            wanted = tuple(own[key].shape[i] for i in own[key].torch_axes)
            if tuple(state[key].shape) != wanted:
                problems.append(f"{key} has shape {tuple(state[key].shape)}, wanted {wanted}")
        if problems:
            more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise ValueError(f"weights do not fit {type(self).__name__}: {'; '.join(problems[:5])}{more}")
        for key, parameter in own.items():
            parameter.from_torch(state[key])

    def astype(self, dtype: Any) -> Module:
        """Convert all parameters to "float32" or "float64"; returns this module. Make optimisers afterwards."""
        for _, parameter in self.named_parameters():
            parameter.data, parameter.low = parameter.data.astype(dtype), None
            parameter.changed()
        return self

    def to(self, device: Any) -> Module:
        """Move all parameters to a Device; returns this module. Make optimisers afterwards."""
        for _, parameter in self.named_parameters():
            parameter.data, parameter.low = device.asarray(to_host(parameter.data)), None
            parameter.device = device
            parameter.changed()
        return self


class Sequential(Module):
    """Modules applied in turn. A dict gives them names of their own: PyTorch's indices, gaps and all."""

    def __init__(self, layers: Mapping[int, Module]) -> None:
        for index, layer in layers.items():
            setattr(self, str(index), layer)

    def __getitem__(self, index: int) -> Module:
        return getattr(self, str(index))

    def forward(self, x: Tensor) -> Tensor:
        for _, layer in self.children():
            x = layer(x)
        return x


Observer = Callable[[Module, tuple[Any, ...], Tensor], None]
_observers: list[Observer] = []


@contextlib.contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Within this context, `observer(module, inputs, output)` is called after every module's forward."""
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


def is_observed() -> bool:
    """Whether anybody observes modules now."""
    return bool(_observers)
