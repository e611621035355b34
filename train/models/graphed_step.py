"""A step replayed from a graph: recorded once, because Python takes longer to call small kernels than they take to run.

On a GPU that is a CUDA graph (kernels/gpu/cuda_graph.py), on the CPU a list of loops (kernels/cpu/recording.py).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from autograd.lanes import SMALL
from kernels.device import Array, from_host
from kernels.dispatch import only_references
from nn.module import Parameter, is_observed
from nn.network import Network

if TYPE_CHECKING:
    from kernels.cpu.recording import Recording
    from kernels.gpu.cuda_graph import Graph
    from train.models.model import Model


class GraphedStep:
    """A model's step for batches of one size, replayed from a graph that is recorded while `whole_step` runs. The first
    `warm` steps of a size run as usual: they compile the kernels and make the pools, so there must be one at least.

    From then on the host's part of a step is what `whole_step` has declared: to count, to draw, to set the learning rate.
    On a GPU one copy takes that to the device together with the pictures, another one brings the losses back, and the host
    waits once, for these.
    """

    def __init__(self, model: Model, warm: int = 2) -> None:
        self.model, self.warm = model, warm
        self.on_cpu = model.device.name == "cpu"
        self.forget()
        self.batches: tuple[Array, ...] = ()
        self.shares: list[tuple[str, float]] = []
        self.losses: Array = None  # [T], on the device
        self.trained: list[Parameter] = []  # of all networks; not all are trained
        self.arrays: list[
            tuple[Parameter, Array]
        ] = []  # where these, and those of averages, were when the graph was made

    def forget(self) -> None:
        """Begin anew: the model's settings have changed."""
        self.sizes: tuple[tuple[int, ...], ...] = ()
        self.seen = 0
        self.graph: Graph | Recording | None = None
        self.useless = ""  # why this step cannot be replayed

    def ready(self, *batches: Array) -> bool:
        """Whether batches of these sizes have been seen often enough, and can be captured; counts this time."""
        sizes = tuple(batch.shape for batch in batches)
        if sizes != self.sizes:
            self.sizes, self.seen, self.graph = sizes, 0, None
        self.seen += 1
        if self.seen <= self.warm or self.useless or (self.on_cpu and (self.watched() or not self.pays(batches[0]))):
            return False
        if self.graph is not None and any(p.data is not array for p, array in self.arrays):
            self.graph = None  # somebody gave a parameter another array
        return self.graph is not None or self.model.capturable()

    @staticmethod
    def watched() -> bool:
        """Whether somebody wants to see the step's Python run: an observer of layers, a debugger, or who computes by references."""
        return is_observed() or sys.gettrace() is not None or only_references()

    def pays(self, pictures: Array) -> bool:
        """Whether Python is much of a step on the CPU: of one at 128 pixels and 64 channels, with one picture, a sixteenth; of one at
        256 pixels a sixtieth, for a fourteenth more memory."""
        c = self.model.config
        return pictures.size // pictures.shape[3] * max(c.ngf, c.ndf) <= SMALL

    def __call__(self, *batches: Array) -> list[tuple[str, float, float]]:
        """One step; each loss by name, with the share by which it counts."""
        self.batches = batches
        graph = self.graph or self.capture()
        self.refresh()
        values = graph.replay(self.losses)
        self.changed()
        assert values is not None
        if graph.why_not:  # the step that was to be recorded has run, as will those after it
            self.graph, self.useless = None, graph.why_not
        return [(*said, value) for said, value in zip(self.shares, values.tolist(), strict=True)]

    def capture(self) -> Graph | Recording:
        """Record the step. Its Python runs, so that what the host counts and draws for the first replay is done as well."""
        self.trained = parameters(self.model.networks())
        followers = parameters(self.model.ema.networks) if self.model.ema is not None else []
        self.arrays = [(p, p.data) for p in (*self.trained, *followers)]
        self.refresh()
        graph = self.empty_graph()
        with self.state_noted() if self.on_cpu else contextlib.nullcontext():
            self.losses = graph.capture(self.recorded)
        self.graph = graph
        return graph

    def empty_graph(self) -> Graph | Recording:
        """What this device has."""
        if self.on_cpu:
            from kernels.cpu.recording import Recording

            return Recording()
        from kernels.gpu.cuda_graph import Graph

        return Graph(self.model.device)

    @contextlib.contextmanager
    def state_noted(self) -> Iterator[None]:
        """Within this context arithmetic on weights and moments alone is noted on the CPU, too."""
        from kernels.cpu.noted import Noted

        moments = [getattr(o, name) for o in self.model.optimizers.values() for name in o.moments]
        before = [list(arrays) for arrays in moments]
        try:
            for p, array in self.arrays:
                p.data = array.view(Noted)
            for arrays in moments:
                arrays[:] = [array.view(Noted) for array in arrays]
            yield
        finally:
            for p, array in self.arrays:
                p.data = array
            for arrays, own in zip(moments, before, strict=True):
                arrays[:] = own

    def recorded(self) -> Array:
        """What the graph repeats: the losses [T], on the device."""
        pictures = [from_host(self.model.device, self.picture(i)) for i in range(len(self.batches))]
        losses = self.model.whole_step(*pictures)
        self.shares = [(name, share) for name, share, _ in losses]
        if self.on_cpu:
            return np.stack([loss.data for *_, loss in losses])
        from kernels.gpu.multi_tensor import gathered

        return gathered([loss.data for *_, loss in losses])

    def picture(self, i: int) -> Callable[[], Array]:
        """What gives pictures [N,H,W,C] of a step's batches in float32, wherever they are."""

        def make() -> Array:
            batch = self.batches[i]
            return batch.astype(np.float32, copy=False)

        return make

    def refresh(self) -> None:
        """Copies of weights in bfloat16, where the graph reads them and its Adam keeps them, are those of the weights, whoever
        may have changed these in between."""
        for parameter in self.trained:
            parameter.refresh()

    def changed(self) -> None:
        """Tell the engine that all weights have changed, and their copies with them; and the averages that follow them."""
        kept = [p for p in self.trained if p.has_low()]
        for parameter, _ in self.arrays:
            parameter.changed()
        for parameter in kept:
            parameter.low_is_current()


def parameters(networks: Mapping[str, Network]) -> list[Parameter]:
    """Of all these networks; not all are trained."""
    return [p for network in networks.values() for _, p in network.named_parameters()]
