"""Function: one node of the graph. An op is a subclass with `forward` and `backward` on plain arrays."""

from __future__ import annotations

import functools
import itertools
import weakref
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from autograd.checks import check
from autograd.mode import grad_enabled
from autograd.tensor import Tensor
from kernels.device import Array, Device
from kernels.dispatch import implementation

if TYPE_CHECKING:
    from autograd.fusion import Deferred

_serial = itertools.count()


class Function:
    """One application of an op: its settings, its inputs, and what its backward needs.

    A subclass names its kernel folder in `op`, says in `takes` what it takes (see checks.py; by default any number of
    Tensors), and defines, where its kernel alone will not do,
        forward(*arrays) -> array            and keeps what the backward needs with `self.save(...)`
        backward(dy) -> array or tuple       one gradient per input, None where `self.need[i]` is False
    It never holds its own output, so a graph is freed by reference counting as soon as nobody wants it.
    """

    op: str | None = None
    takes = "*"
    view = False  # whether the output is a view of the first input's memory
    reads = True  # whether the backward reads dy, and does not only hand it on
    uses = 0  # how many nodes take the output as an input
    inputs: tuple[Tensor | None, ...] | None
    saved: tuple[Any, ...]
    shapes: tuple[Any, ...]

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.saved = ()

    @property
    def name(self) -> str:
        return self.op or type(self).__name__.lower()

    @property
    def kernel(self) -> ModuleType:
        """The implementation of this op for the inputs' device."""
        assert self.op is not None
        return implementation(self.op, self.device)

    def save(self, *arrays: Any) -> None:
        """Keep arrays (or other values) for the backward, as `self.saved`."""
        self.saved = arrays

    def __call__(self, *inputs: Tensor | None) -> Tensor:
        """Run the op and, if any input requires a gradient, hang this node behind the result."""
        self.device = check(self.name, self.takes, inputs)
        self.need = tuple([t is not None and t.requires_grad for t in inputs])
        output = Tensor(self.forward(*[None if t is None else t.data for t in inputs]), device=self.device)
        if self.view and inputs[0] is not None:
            output.views(inputs[0])
        if grad_enabled() and any(self.need):
            self.serial = next(_serial)
            self.inputs = inputs
            self.shapes = tuple(None if t is None else t.shape for t in inputs)
            saved = {id(value) for value in self.saved}  # only inputs whose values were saved can go stale
            self.versions = [(t, t.version) for t in inputs if t is not None and id(t.data) in saved]
            for t in inputs:
                if t is not None and t.creator is not None:
                    t.creator.uses += 1
            self.output = weakref.ref(output)
            output.creator, output.requires_grad = self, True
        return output

    def forward(self, *arrays: Any) -> Any:
        return self.kernel.forward(*arrays, **self.settings)

    def backward(self, dy: Array) -> Any:
        return self.kernel.backward(dy, *self.saved, **self.settings)

    def run_backward(self, dy: Array, pending: dict[Function, list[Array]], deferred: Deferred) -> Any:
        """`backward`, as the engine calls it; `pending` is what has come for older nodes; see fusion.py."""
        return self.backward(dy)

    def total(self, arrays: list[Array]) -> Array:
        """The sum of gradients of this node's output. Never in place: others may hold the arrays."""
        return arrays[0] if len(arrays) == 1 else implementation("add", self.device).forward(*arrays)

    def check_fresh(self) -> None:
        """RuntimeError if this node was used up, or if a value it saved has since been changed in place."""
        if self.inputs is None:
            raise RuntimeError(
                f"{self.name}: backward was already run through this graph, which freed it; run the forward again"
            )
        for tensor, version in self.versions:
            if tensor.version != version:
                raise RuntimeError(
                    f"{self.name}: a {tensor.shape} tensor saved for the backward was changed in place after the "
                    f"forward (version {version}, now {tensor.version}); run backward before the update, or the "
                    "forward again after it"
                )

    def release(self) -> None:
        """Let go of everything the node holds."""
        self.inputs, self.saved, self.versions = None, (), []


@functools.cache
def one(device: Device, dtype: Any) -> Array:
    """The number 1 that `backward` starts from: always the same array, so that a loss can know it without reading it."""
    array = device.xp.ones((), dtype)
    if device.xp is np:
        array.flags.writeable = False
    return array
