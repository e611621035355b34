"""Two networks of one architecture with their weights stacked, so that each layer is one launch for both.

A third network of the same structure holds, for every pair of parameters, their stack [2,...]; the two networks' own data
become views of it. So there is one copy of the weights. Whoever trains, saves or loads a single network goes on as before,
and a convolution with stacked weights (kernels/conv2d/stacked.py) finds both in one array.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from autograd import Tensor
from autograd.ops import batch_slice, concat
from autograd.tensor import zeros_like
from kernels.device import Array, address, xp_of
from nn.module import Module, Parameter
from nn.network import Network

Pictures = tuple[Tensor, ...]


class StackedPair:
    """`pair(xs, ys)` is the first network on the tensors xs and the second on ys.

    They run as one batch with stacked weights where the networks are built alike, all tensors have one size, and both get
    as many pictures. Elsewhere, and on the CPU, where launches cost nothing, one network runs after the other.
    """

    def __init__(self, first: Network, second: Network) -> None:
        self.first, self.second = first, second
        self.alike = structure(first) == structure(second)
        self.stack: Network | None = None
        if self.alike and on_gpu(first):
            self.both()

    def __call__(self, xs: Pictures, ys: Pictures) -> tuple[Pictures, Pictures]:
        inputs = (*xs, *ys)
        fit = len({x.shape[1:] for x in inputs}) == 1 and sum(map(len, xs)) == sum(map(len, ys))
        if not (self.alike and fit and on_gpu(self.first)):
            return as_one_batch(self.first, xs), as_one_batch(self.second, ys)
        outputs = as_one_batch(self.both(), inputs)
        return outputs[: len(xs)], outputs[len(xs) :]

    def each(self, one: tuple[Network, Pictures], other: tuple[Network, Pictures]) -> tuple[Pictures, Pictures]:
        """What each of the two networks, given in either order, makes of its own pictures; in the order given."""
        if one[0] is self.first:
            return self(one[1], other[1])
        others, ones = self(other[1], one[1])
        return ones, others

    def both(self) -> Network:
        """The network of stacks, made anew where the two networks' data was replaced (by `to` or `astype`)."""
        if self.stack is None or not all(
            p.holds() for _, p in self.stack.named_parameters() if isinstance(p, StackedParameter)
        ):
            self.stack = stacked(self.first, self.second)
        return self.stack


def on_gpu(network: Network) -> bool:
    """Whether the network's parameters live where launches cost."""
    return next(p.device.name for _, p in network.named_parameters()) != "cpu"


def as_one_batch(network: Network, xs: Pictures) -> Pictures:
    """network(x) of each x, as one batch where sizes agree. Exact: instance norm keeps pictures apart."""
    if len({x.shape[1:] for x in xs}) > 1 or len(xs) == 1:
        return tuple(network(x) for x in xs)
    batch = network(concat(*xs, axis=0))
    outputs, start = [], 0
    for x in xs:
        outputs.append(batch_slice(batch, start, start + len(x)))
        start += len(x)
    return tuple(outputs)


class StackedParameter(Parameter):
    """Parameters of one shape as one tensor [G,...], of which their data are views from now on.

    A gradient that arrives here is shared out to them, as views; they own it, and forget it by themselves. So is the copy in
    bfloat16, which is one of the present values where each of their copies is.
    """

    def __init__(self, parts: tuple[Parameter, ...]) -> None:
        self.parts: tuple[Parameter, ...] = ()  # until the tensor is made
        super().__init__(xp_of(parts[0].data).stack([p.data for p in parts]), trained=parts[0].trained)
        self.parts, self.device = parts, parts[0].device
        self.changes[0] = 1 + max(p.version for p in parts)  # so that graphs over the old data are stale
        for p, data in zip(parts, self.data, strict=True):
            p.data, p.low = data, None
            p.views(self)

    def holds(self) -> bool:
        """Whether the parts' data are still views of this."""
        return all(address(p.data) == address(own) for p, own in zip(self.parts, self.data, strict=True))

    def has_low(self) -> bool:
        return self.low is not None and all(p.has_low() for p in self.parts)

    def low_is_current(self) -> None:
        assert self.low is not None
        for p, low in zip(self.parts, self.low, strict=True):
            p.low = low
            p.low_is_current()

    def take(self, arrays: Sequence[Array]) -> None:
        for i, p in enumerate(self.parts):
            p.take([a[i] for a in arrays])

    @property
    def requires_grad(self) -> bool:
        return any(p.requires_grad for p in self.parts)

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        for p in self.parts:
            p.requires_grad = flag

    @property
    def grad(self) -> Array | None:
        if all(p.grad is None for p in self.parts):
            return None
        return xp_of(self.data).stack([zeros_like(p) if p.grad is None else p.grad for p in self.parts])

    @grad.setter
    def grad(self, value: Array | None) -> None:
        for i, p in enumerate(self.parts):
            p.grad = None if value is None else value[i]


def stacked(first: Any, second: Any) -> Any:
    """A module of their structure whose parameters are stacks of theirs."""
    both = copy.copy(first)
    for name, value in vars(first).items():
        if isinstance(value, Parameter):
            setattr(both, name, StackedParameter((value, getattr(second, name))))
        elif isinstance(value, Module):
            setattr(both, name, stacked(value, getattr(second, name)))
    return both


def structure(module: Module) -> list[Any]:
    """What two networks must share to run as one: kinds of modules, their settings, and the parameters' shapes."""

    def settings(m: Module) -> dict[str, Any]:
        own = {k: v for k, v in vars(m).items() if k != "device" and not isinstance(v, Module)}
        return {k: v.shape if isinstance(v, Tensor) else v for k, v in own.items()}

    return [(name, type(m), settings(m)) for name, m in module.named_modules()]
