"""Every op of a stretch of work, as it happened: in which layer, on what shapes, how long, and what it kept for the backward.

The code that is watched is untouched: `traced` wraps the one place through which every op runs forward, each op's backward,
a module's call and an optimiser's step, for as long as it is entered.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from autograd import Tensor
from autograd.function import Function
from kernels.device import Array
from nn.module import Module, Parameter, observed
from nn.optim import Optimizer

Shape = tuple[int, ...]


@dataclass
class Op:
    """One application of an op. Times in seconds; a backward that did not run took None."""

    name: str
    shapes: list[Shape | None]  # of the inputs
    output: Shape
    itemsizes: list[int]  # bytes per number, of the inputs (0 for an absent one) and, last, of the output
    parameters: list[Parameter]  # among the inputs
    need: tuple[bool, ...]  # which inputs' gradients the backward makes
    geometry: Any  # of a convolution, else None
    modules: tuple[Module, ...]  # inside which it ran, the outermost first
    call: int  # counts the calls of outermost modules; -1 outside of any
    tag: Any  # what `Trace.tag` was in this thread
    thread: int
    start: float
    seconds: float
    saved: int = 0  # bytes kept for the backward that nothing before it had kept; weights are there anyway
    macs: int = 0  # multiply-accumulates of the forward
    backward_start: float = 0.0
    backward_seconds: float | None = None

    @property
    def backward_macs(self) -> int:
        """Of the products that make dx and dw, as far as they are wanted: each costs as much as the forward."""
        return self.macs * sum(map(bool, self.need[:2])) if self.backward_seconds is not None else 0


@dataclass
class Update:
    """One step of an optimiser."""

    numbers: int  # parameters moved
    thread: int
    start: float
    seconds: float


@dataclass
class Trace:
    """What was seen, in order; of several threads, each thread's in its order."""

    ops: list[Op] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    local: threading.local = field(default_factory=threading.local)

    @property
    def tag(self) -> Any:
        """A note of yours that is put on what runs in this thread from now on."""
        return getattr(self.local, "tag", None)

    @tag.setter
    def tag(self, value: Any) -> None:
        self.local.tag = value


@contextlib.contextmanager
def traced(wait: Callable[[], None] = lambda: None) -> Iterator[Trace]:
    """Within this context every op is noted. `wait` returns when the device has done what it was given so far."""
    trace, kept, calls = Trace(), Kept(), iter(range(1 << 62))
    running: weakref.WeakKeyDictionary[Function, Op] = weakref.WeakKeyDictionary()

    def timed(work: Any, *arguments: Any) -> tuple[Any, float, float]:
        wait()
        start = time.perf_counter()
        result = work(*arguments)
        wait()
        return result, start, time.perf_counter() - start

    def stack() -> list[Module]:
        if not hasattr(trace.local, "stack"):
            trace.local.stack, trace.local.call, trace.local.ops = [], -1, []
        return trace.local.stack

    def forward(original: Any) -> Any:
        @functools.wraps(original)
        def wrapped(node: Function, *inputs: Any) -> Tensor:
            output, start, seconds = timed(original, node, *inputs)
            tensors = [t if isinstance(t, Tensor) else None for t in inputs]
            modules = tuple(stack())
            op = Op(
                node.name, [None if t is None else t.shape for t in tensors], output.shape,
                [0 if t is None else t.dtype.itemsize for t in tensors] + [output.dtype.itemsize],
                [t for t in tensors if isinstance(t, Parameter)], node.need, node.settings.get("geometry"), modules,
                trace.local.call if modules else -1, trace.tag, thread(), start, seconds,
            )  # fmt: skip
            if output.creator is node:
                op.saved = kept.new(node.saved, op.parameters)
                running[node] = op
            trace.ops.append(op)
            trace.local.ops.append(op)
            return output

        return wrapped

    def backward(original: Any) -> Any:
        @functools.wraps(original)
        def wrapped(node: Function, dy: Array) -> Any:
            grads, start, seconds = timed(original, node, dy)
            if node in running:
                running[node].backward_start, running[node].backward_seconds = start, seconds
            return grads

        return wrapped

    def module_call(original: Any) -> Any:
        @functools.wraps(original)
        def wrapped(module: Module, *inputs: Any) -> Tensor:
            outer = stack()
            if not outer:
                trace.local.call = next(calls)
            first = len(trace.local.ops)
            outer.append(module)
            try:
                output = original(module, *inputs)
            finally:
                outer.pop()
            if hasattr(module, "macs"):
                products = [op for op in trace.local.ops[first:] if op.name.startswith("conv")]
                products[0].macs = module.macs(inputs[0], output)
            return output

        return wrapped

    def update(original: Any) -> Any:
        @functools.wraps(original)
        def wrapped(optimizer: Optimizer) -> None:
            numbers = sum(optimizer.parameters[i].size for i in optimizer.moved())
            _, start, seconds = timed(original, optimizer)
            trace.updates.append(Update(numbers, thread(), start, seconds))

        return wrapped

    backwards = [(cls, "backward", backward) for cls in (Function, *below(Function)) if "backward" in vars(cls)]
    steps = [(cls, "step", update) for cls in below(Optimizer) if "step" in vars(cls)]
    with contextlib.ExitStack() as patches:
        patches.enter_context(observed(lambda module, inputs, output: None))  # so that no step is replayed
        for owner, name, wrap in [
            (Function, "__call__", forward),
            (Module, "__call__", module_call),
            *steps,
            *backwards,
        ]:
            original = vars(owner)[name]
            patches.callback(setattr, owner, name, original)
            setattr(owner, name, wrap(original))
        yield trace


class Kept:
    """What is kept for the backward. Arrays count once, whoever holds them, and views by what they are views of."""

    def __init__(self) -> None:
        self.seen: dict[int, weakref.ref[Any]] = {}  # by id, which another array may have later

    def new(self, saved: tuple[Any, ...], parameters: list[Parameter]) -> int:
        """Bytes of those among `saved` that were not yet kept; a weight is there anyway."""
        there, count = {id(root(p.data)) for p in parameters}, 0
        for array in (root(value) for value in saved if hasattr(value, "nbytes") and hasattr(value, "shape")):
            known = self.seen.get(id(array))
            if id(array) not in there and (known is None or known() is not array):
                self.seen[id(array)] = weakref.ref(array)
                count += array.nbytes
        return count


def root(array: Any) -> Any:
    """The array whose memory this one looks at."""
    owner = getattr(array, "base", None)
    while type(owner) is type(array):
        array, owner = owner, getattr(owner, "base", None)
    return array


def thread() -> int:
    """The thread that runs this, by the system's number."""
    return threading.get_native_id()


def below(cls: type) -> set[type]:
    """All classes below `cls`."""
    direct: list[type] = cls.__subclasses__()
    return {s for child in direct for s in (child, *below(child))}
