"""Layers: what holds weights, and the few that hold none.

Weights are made as zeros here; `nn.init.initialise` draws them for a whole network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from autograd import Tensor
from autograd import ops as F
from kernels.device import Array, from_host
from nn.module import Module, Parameter


class Conv2d(Module):
    """Convolution with weight [R,S,C,K] and, unless `bias` is False, bias [K]; see autograd.ops.conv2d.

    `padding_mode` is "zeros" or "reflect".
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0,
        padding_mode: str = "zeros", bias: bool = True,
    ) -> None:  # fmt: skip
        self.geometry: dict[str, Any] = dict(stride=stride, padding=padding, padding_mode=padding_mode)
        self.weight = conv_weight(in_channels, out_channels, kernel)
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.for_input(x), self.bias, **self.geometry)

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-accumulates of one forward."""
        return y.size * (self.weight.size // y.shape[3])


class ConvNormRelu(Module):
    """Convolution, instance norm, activation and optional skip as one op; see autograd.ops.conv_norm_relu.

    The bias is kept for exchange with other code, which stores one here. Instance norm subtracts whatever it adds, so
    it is neither used nor trained.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0,
        padding_mode: str = "zeros", activation: str = "relu",
    ) -> None:  # fmt: skip
        self.geometry: dict[str, Any] = dict(stride=stride, padding=padding, padding_mode=padding_mode)
        self.activation = activation
        self.weight = conv_weight(in_channels, out_channels, kernel)
        self.bias = Parameter(np.zeros(out_channels, np.float32), trained=False)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        return F.conv_norm_relu(x, self.weight.for_input(x), skip, **self.geometry, activation=self.activation)

    macs = Conv2d.macs


class ConvTranspose2d(Module):
    """Transposed convolution with weight [R,S,C,K] and, unless `bias` is False, bias [K]; see autograd.ops.conv_transpose2d."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, output_padding: int = 0, bias: bool = True
    ) -> None:
        self.geometry: dict[str, Any] = dict(stride=2, padding=1, output_padding=output_padding)
        self.weight = Parameter(np.zeros((kernel, kernel, in_channels, out_channels), np.float32), (2, 3, 0, 1))
        self.bias = Parameter(np.zeros(out_channels, np.float32)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight.for_input(x), self.bias, **self.geometry)

    def macs(self, x: Tensor, y: Tensor) -> int:
        """Multiply-accumulates of one forward."""
        return x.size * (self.weight.size // x.shape[3])


class ConvTransposeNormRelu(ConvTranspose2d):
    """Transposed convolution, instance norm and activation as one op; see autograd.ops.conv_transpose_norm_relu. Its bias is kept for exchange only, as in ConvNormRelu."""

    bias: Parameter

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, output_padding: int = 0, activation: str = "relu"
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, output_padding)
        self.bias = Parameter(np.zeros(out_channels, np.float32), trained=False)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose_norm_relu(x, self.weight.for_input(x), **self.geometry, activation=self.activation)


class ResizeConvNormRelu(ConvNormRelu):
    """Resize to twice the size, then a 3x3 convolution, reflected unless told otherwise, instance norm and ReLU.

    The alternative to a transposed convolution that leaves no checkerboard.
    """

    def __init__(self, in_channels: int, out_channels: int, mode: str, padding_mode: str = "reflect") -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, padding_mode=padding_mode)
        self.mode = mode

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        return super().forward(F.resize(x, (2 * x.shape[1], 2 * x.shape[2]), self.mode), skip)


class LeakyReLU(Module):
    """x where positive, else slope * x."""

    def __init__(self, slope: float = 0.2) -> None:
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.slope)


class Dropout(Module):
    """A share p of the input zeroed, the rest divided by 1 - p, within `dropping`; elsewhere the input itself."""

    def __init__(self, p: float) -> None:
        self.p = p
        self.key: int | Array | None = None

    def forward(self, x: Tensor) -> Tensor:
        return x if self.key is None or not self.p else F.dropout(x, self.p, self.key)


@contextlib.contextmanager
def dropping(network: Any, stream: Callable[[], Sequence[int]]) -> Iterator[None]:
    """Within this context the network's Dropout layers drop, each by coins of its own that follow from `stream()` alone.

    A captured graph asks for the stream again at every replay.
    """
    layers = [module for _, module in network.named_modules() if isinstance(module, Dropout)]

    def keys() -> np.ndarray:  # [L,4] int32, the key and padding: kernels read it at a multiple of 16 bytes
        drawn = [np.random.SeedSequence([*stream(), i]).generate_state(4) for i in range(len(layers))]
        return np.array(drawn, np.uint32).view(np.int32)

    if layers:
        for layer, key in zip(layers, from_host(network.device, keys), strict=True):
            layer.key = key
    try:
        yield
    finally:
        for layer in layers:
            layer.key = None


class Tanh(Module):
    """Hyperbolic tangent: the generators' last layer, which keeps pictures in [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)


def conv_weight(in_channels: int, out_channels: int, kernel: int) -> Parameter:
    """Zeros [R,S,C,K], exchanged as PyTorch's [K,C,R,S]."""
    return Parameter(np.zeros((kernel, kernel, in_channels, out_channels), np.float32), (3, 2, 0, 1))
