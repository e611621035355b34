"""Conditional instance normalisation in the graph; see kernels/conditional_instance_norm."""

from __future__ import annotations

from autograd.function import Function
from autograd.tensor import Tensor
from kernels.device import Array, xp_of
from kernels.instance_norm.settings import norm_settings


class ConditionalInstanceNorm(Function):
    op = "conditional_instance_norm"
    takes = "x [N,H,W,C], scale [N,C]|[C], shift [N,C]|[C]"

    def forward(self, x: Array, scale: Array, shift: Array) -> Array:
        each = (x.shape[0], x.shape[3])
        every = [s if s.shape == each else xp_of(x).broadcast_to(s, each) for s in (scale, shift)]  # [N,C]
        y, mean, rstd = self.kernel.forward(x, *every, **self.settings)
        self.save(x, mean, rstd, *every)
        return y


def conditional_instance_norm(
    x: Tensor, scale: Tensor, shift: Tensor, *, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> Tensor:
    """act(scale * (x - mean) / sqrt(variance + eps) + shift), statistics per image and channel of x [N,H,W,C].

    scale and shift are [N,C], or [C] for all images alike. `activation` is "none", "relu" or "leaky_relu" (with `slope`).
    """
    return ConditionalInstanceNorm(norm=norm_settings(activation, slope, eps))(x, scale, shift)
