"""A step replayed from a CUDA graph: recorded once, because Python takes longer to launch its kernels than they take to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from autograd import Tensor
from kernels.device import Array, Device
from nn.module import Parameter
from nn.network import Network

if TYPE_CHECKING:
    from kernels.gpu.cuda_graph import Control, Graph


class Replayed(Protocol):
    """What is asked of the model whose step is replayed; see train/models/directions.py."""

    device: Device
    dtype: Any

    def tensor(self, data: Any) -> Tensor: ...
    def networks(self) -> dict[str, Network]: ...
    def play(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> dict[str, Tensor]: ...
    def controls(self) -> list[Control]: ...
    def advance(self) -> None: ...


class GraphedStep:
    """A model's step for batches of one size, replayed from a graph that is recorded while `play` runs. The first `warm`
    steps of a size run as usual: they compile the kernels and make the pools, so there must be one at least.

    From then on the host's part of a step is to count, to draw the pools' decisions and to set the learning rate; one
    small copy takes these to the device. Make a new one where arrays of the model were replaced or its settings changed.
    """

    def __init__(self, model: Replayed, warm: int = 2) -> None:
        self.model, self.warm = model, warm
        self.sizes: tuple[tuple[int, ...], ...] = ()
        self.seen = 0
        self.graph: Graph | None = None
        self.inputs: list[Tensor] = []
        self.losses: dict[str, Tensor] = {}
        self.control: Control | None = None

    def ready(self, *batches: Array) -> bool:
        """Whether batches of these sizes have been seen often enough; counts this time."""
        sizes = tuple(batch.shape for batch in batches)
        if sizes != self.sizes:
            self.sizes, self.seen, self.graph = sizes, 0, None
        self.seen += 1
        return self.seen > self.warm

    def __call__(self, *batches: Array) -> dict[str, Tensor]:
        """One step; the losses, which the next step overwrites."""
        if self.graph is None:
            self.capture()
        else:
            self.model.advance()
        assert self.graph is not None and self.control is not None
        for tensor, batch in zip(self.inputs, batches, strict=True):
            tensor.data[...] = self.model.device.asarray(batch, dtype=tensor.dtype)
        self.control.send()
        self.refresh()
        self.graph.replay()
        self.changed()
        return self.losses

    def capture(self) -> None:
        """Record the step. Its Python runs, so that what the host counts and draws for the first replay is done as well."""
        from kernels.gpu.cuda_graph import Graph, joined

        model = self.model
        self.inputs = [model.tensor(model.device.xp.zeros(size, model.dtype)) for size in self.sizes]
        self.control = joined(model.device, model.controls())
        self.refresh()
        graph = Graph(model.device)
        self.losses = graph.capture(lambda: model.play(*self.inputs))
        self.graph = graph

    def parameters(self) -> list[Parameter]:
        """Of all networks."""
        return [p for network in self.model.networks().values() for p in network.parameters()]

    def refresh(self) -> None:
        """Copies of weights in bfloat16, where the graph reads them and its Adam keeps them, are those of the weights, whoever
        may have changed these in between."""
        for parameter in self.parameters():
            parameter.refresh()

    def changed(self) -> None:
        """Tell the engine that all weights have changed, and their copies with them."""
        kept = [p for p in self.parameters() if p.has_low()]
        for parameter in self.parameters():
            parameter.changed()
        for parameter in kept:
            parameter.low_is_current()
