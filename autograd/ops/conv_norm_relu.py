"""The fused blocks convolution + instance norm + activation + skip in the graph; see kernels/conv_norm_relu.

With the transposed convolution it is kernels/conv_transpose_norm_relu.
"""

from __future__ import annotations

from autograd.ops.instance_norm import Normalising
from autograd.tensor import Tensor
from kernels.conv2d.geometry import geometry, transposed_geometry
from kernels.device import Array
from kernels.dispatch import for_weight
from kernels.instance_norm.settings import norm_settings


class ConvNormRelu(Normalising):
    op = "conv_norm_relu"
    takes = "x [N,H,W,C], w [R,S,C,K]|[G,R,S,C,K], skip [N,P,Q,K]?"

    def forward(self, x: Array, w: Array, skip: Array | None) -> Array:
        size = self.settings["geometry"].output_size(x.shape, w.shape)
        if skip is not None and skip.shape[1:3] != size:
            raise ValueError(
                f"{self.op}: skip has shape {skip.shape}, wanted {(len(x), *size, w.shape[-1])} as the output"
            )
        out, z, mean, rstd = for_weight(self.kernel, w).forward(x, w, skip, **self.settings)
        self.save(x, w, z, mean, rstd)
        return out

    def backward(self, dout: Array) -> tuple[Array | None, ...]:
        kernel = for_weight(self.kernel, self.saved[1])
        dx, dw = kernel.backward(dout, *self.saved, **self.settings, need=self.need[:2], **self.fused())
        return dx, dw, dout


class ConvTransposeNormRelu(ConvNormRelu):
    op = "conv_transpose_norm_relu"


def conv_norm_relu(
    x: Tensor,
    w: Tensor,
    skip: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    padding_mode: str = "zeros",
    activation: str = "relu",
    slope: float = 0.2,
    eps: float = 1e-5,
) -> Tensor:
    """act(instance_norm(conv2d(x, w))) + skip: x [N,H,W,C], w [R,S,C,K], skip [N,P,Q,K] or None -> [N,P,Q,K].

    `activation` is "none", "relu" or "leaky_relu" (with `slope`). Raises ValueError where shapes do not fit.
    """
    settings = dict(geometry=geometry(stride, padding, padding_mode), norm=norm_settings(activation, slope, eps))
    return ConvNormRelu(**settings)(x, w, skip)


def conv_transpose_norm_relu(
    x: Tensor,
    w: Tensor,
    skip: Tensor | None = None,
    *,
    stride: int = 2,
    padding: int = 1,
    output_padding: int = 1,
    activation: str = "relu",
    slope: float = 0.2,
    eps: float = 1e-5,
) -> Tensor:
    """act(instance_norm(conv_transpose2d(x, w))) + skip: x [N,H,W,C], w [R,S,C,K], skip [N,P,Q,K] or None -> [N,P,Q,K].

    `activation` is "none", "relu" or "leaky_relu" (with `slope`). Raises ValueError where shapes do not fit.
    """
    settings = dict(
        geometry=transposed_geometry(stride, padding, output_padding), norm=norm_settings(activation, slope, eps)
    )
    return ConvTransposeNormRelu(**settings)(x, w, skip)
