"""Instance normalisation in the graph; see kernels/instance_norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autograd.fusion import Fused
from autograd.tensor import Tensor
from kernels.device import Array
from kernels.instance_norm.settings import norm_settings

if TYPE_CHECKING:
    from kernels.gpu.epilogue import Sums


class Normalising(Fused):
    """An op that ends in an instance norm, whose backward starts with two sums over the gradient of its output."""

    def request(self) -> Sums | None:
        if not getattr(self.kernel, "SUMS", False):
            return None
        from kernels.gpu.epilogue import Sums

        x, mean, rstd = self.saved[-3:]
        return Sums(x, mean, rstd, self.settings["norm"].negative_slope)


class InstanceNorm(Normalising):
    op = "instance_norm"
    takes = "x [N,H,W,C], skip [N,H,W,C]?"

    def forward(self, x: Array, skip: Array | None) -> Array:
        y, mean, rstd = self.kernel.forward(x, skip, **self.settings)
        self.save(x, mean, rstd)
        return y

    def backward(self, dy: Array) -> tuple[Array | None, Array | None]:
        dx = self.kernel.backward(dy, *self.saved, **self.settings, **self.fused()) if self.need[0] else None
        return dx, dy


def instance_norm(
    x: Tensor, skip: Tensor | None = None, *, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> Tensor:
    """act((x - mean) / sqrt(variance + eps)) + skip, per image and channel of x [N,H,W,C].

    `activation` is "none", "relu" or "leaky_relu" (with `slope`); skip has x's shape.
    """
    return InstanceNorm(norm=norm_settings(activation, slope, eps))(x, skip)
