"""Torch at its fastest: the whole training step as one CUDA graph, channels innermost, its Adam in one fused kernel, compiled or not.

What would stop a capture is kept out of it: losses are read afterwards, all at once, and what the pools of past fakes do is decided
before and told to the step as numbers on the device. On the CPU, which has no graphs, the same step runs anew each time: so the
tests compare it with torch's plain one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.providers import Work
from benchmarks.torch_providers import TorchChannelsLast, fuse_adam, torch_device
from benchmarks.worker import Result
from tests.torch_reference import TorchPool
from train.config.settings import Config


class DevicePool(TorchPool):
    """A pool that decides ahead of a step, and swaps within it without the host."""

    filled = 0
    control: Tensor | None = None  # [N,2]: where each new picture is put, and whether the one before comes back for it
    memory: Tensor | None = None  # [size + 1,C,H,W]; what is not to be kept goes to the last place

    def decide(self, count: int) -> np.ndarray:
        """Draws as TorchPool does; [count,2]."""
        decisions = []
        for _ in range(count):
            if self.filled < self.size:
                decisions.append((self.filled, 0))
                self.filled += 1
            elif self.size > 0 and self.rng.random() > 0.5:
                decisions.append((int(self.rng.integers(self.size)), 1))
            else:
                decisions.append((self.size, 0))
        return np.array(decisions, np.int64)

    def advance(self, count: int, device: str) -> None:
        """For the next step's `count` pictures."""
        decided = torch.from_numpy(self.decide(count))
        if self.control is None:
            self.control = decided.to(device)
        self.control.copy_(decided)

    def query(self, images: Tensor) -> Tensor:
        if self.memory is None:
            self.memory = torch.empty_like(images[:1].expand(self.size + 1, -1, -1, -1)).zero_()
        assert self.control is not None, "nothing was decided"
        chosen = []
        for image, (place, old) in zip(images.detach().split(1), self.control, strict=True):
            before = self.memory.index_select(0, place[None])
            chosen.append(torch.where(old > 0, before, image))
            self.memory.index_copy_(0, place[None], image)
        return torch.cat(chosen)  # [N,C,H,W]


class TorchGraph(TorchChannelsLast):
    """The whole step as one CUDA graph, of torch's own kernels."""

    warm = 3
    """Steps that run as usual: kernels are loaded and algorithms chosen, on the stream that is then captured."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        c, model, device = Config(), self.model, torch_device(work)
        self.pools = [DevicePool(c.pool_size, np.random.default_rng([work.seed, i])) for i in (4, 5)]
        model.pool_a, model.pool_b = self.pools
        fuse_adam(model, capturable=True)
        self.names: list[str] = []
        self.seen = 0
        self.static: list[Tensor] = []
        self.losses: Tensor
        self.replay: Callable[[], Any] | None = None
        self.stream = torch.cuda.Stream() if device == "cuda" else None

    def step(self) -> None:
        """All that is captured: from pictures to weights and losses [8], on the device."""
        losses, *fakes = self.model.generators_turn(*self.static)
        losses |= self.model.discriminators_turn(*self.static, *fakes)
        self.names = list(losses)
        self.losses = torch.stack([loss.detach() for loss in losses.values()])

    def capture(self) -> Callable[[], Any]:
        """What does the step again, over what lies in `static` and in the pools' numbers then."""
        if self.stream is None:
            return self.step
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self.step()
        return graph.replay

    def run(self, inputs: Any) -> Result:
        with torch.cuda.stream(self.stream):
            return self._run(inputs)

    def _run(self, inputs: list[Tensor]) -> Result:
        self.static = self.static or [x.clone() for x in inputs]  # clone keeps the memory layout
        for mine, x in zip(self.static, inputs, strict=True):
            mine.copy_(x)
        for pool in self.pools:
            pool.advance(len(inputs[0]), torch_device(self.work))
        if self.seen == self.warm:
            torch.cuda.synchronize() if self.stream else None
            self.replay = self.capture()
        self.seen += 1
        (self.replay or self.step)()
        return dict(zip(self.names, self.losses.tolist(), strict=True))


class TorchCompileGraph(TorchGraph):
    """And its kernels made by torch.compile."""

    compiled = True
