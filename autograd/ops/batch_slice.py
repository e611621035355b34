"""Some pictures of a batch in the graph; see kernels/batch_slice."""

from __future__ import annotations

from autograd.fusion import Fused
from autograd.tensor import Tensor
from kernels.device import Array


class BatchSlice(Fused):
    op = "batch_slice"
    view = True

    def forward(self, x: Array) -> Array:
        start, stop, count = self.settings["start"], self.settings["stop"], len(x)
        if not 0 <= start < stop <= count:
            raise ValueError(f"batch_slice: {start} to {stop} is not inside a batch of {count}")
        return x[start:stop]

    def backward(self, dy: Array) -> Array:
        return self.kernel.backward(dy, count=self.shapes[0][0], start=self.settings["start"], **self.fused())


def batch_slice(x: Tensor, start: int, stop: int) -> Tensor:
    """Pictures start, ..., stop - 1 of a batch x [N,...], with 0 <= start < stop <= N."""
    return BatchSlice(start=start, stop=stop)(x)
