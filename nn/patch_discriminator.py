"""Discriminators that judge every patch of a picture by itself: a map of scores, no sigmoid."""

from __future__ import annotations

from autograd import Tensor
from kernels.device import Device
from nn.layers import Conv2d, ConvNormRelu, LeakyReLU
from nn.module import Module, Sequential
from nn.network import Network


class PatchDiscriminator(Network):
    """PatchGAN: [N,H,W,in_channels] -> scores [N,P,Q,1]. With n_layers=3 each score sees 70x70 pixels.

    n_layers strided 4x4 convolutions double the channels, up to 8*ndf; two unstrided ones follow.
    """

    def __init__(
        self,
        in_channels: int = 3,
        ndf: int = 64,
        n_layers: int = 3,
        device: str | Device = "cpu",
        seed: int = 0,
        init_type: str = "normal",
        init_gain: float = 0.02,
    ) -> None:
        self.in_channels = in_channels
        layers: dict[int, Module] = {0: Conv2d(in_channels, ndf, 4, stride=2, padding=1), 1: LeakyReLU(0.2)}
        channels = ndf
        for i in range(1, n_layers + 1):
            wider = ndf * min(2**i, 8)
            stride = 2 if i < n_layers else 1
            layers[3 * i - 1] = ConvNormRelu(channels, wider, 4, stride=stride, padding=1, activation="leaky_relu")
            channels = wider
        layers[3 * n_layers + 2] = Conv2d(channels, 1, 4, padding=1)
        self.model = Sequential(layers)
        self.finish(device, seed, init_type, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class PixelDiscriminator(Network):
    """Judges every pixel by itself with 1x1 convolutions: [N,H,W,in_channels] -> scores [N,H,W,1]."""

    def __init__(
        self,
        in_channels: int = 3,
        ndf: int = 64,
        device: str | Device = "cpu",
        seed: int = 0,
        init_type: str = "normal",
        init_gain: float = 0.02,
    ) -> None:
        self.in_channels = in_channels
        self.net = Sequential(
            {
                0: Conv2d(in_channels, ndf, 1),
                1: LeakyReLU(0.2),
                2: ConvNormRelu(ndf, 2 * ndf, 1, activation="leaky_relu"),
                5: Conv2d(2 * ndf, 1, 1),
            }
        )
        self.finish(device, seed, init_type, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
