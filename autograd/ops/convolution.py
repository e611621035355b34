"""What conv2d and conv_transpose2d share in the graph."""

from __future__ import annotations

from typing import Any

from autograd.fusion import Fused
from kernels.conv2d.stacked import for_weight
from kernels.device import Array


class Convolution(Fused):
    """The op named by `op`; its setting is the geometry."""

    takes = "x [N,H,W,C], w [R,S,C,K]|[G,R,S,C,K], b [K]|[G,K]?"

    def forward(self, x: Array, w: Array, b: Array | None) -> Array:
        self.save(x, w)
        return self.y(x, w, b)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        x, w = self.saved
        return self.gradients(dy, x, w, self.need, **self.fused())

    def y(self, x: Array, w: Array, b: Array | None = None) -> Array:
        return for_weight(self.kernel, w).forward(x, w, b, **self.settings)

    def gradients(
        self, dy: Array, x: Array, w: Array, need: tuple[bool, ...], **fused: Any
    ) -> tuple[Array | None, ...]:
        """dx, dw, db as far as needed; of an array whose own gradient alone is needed only the shape matters."""
        return for_weight(self.kernel, w).backward(dy, x, w, **self.settings, need=need, **fused)
