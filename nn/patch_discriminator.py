"""Discriminators that judge every patch of a picture by itself: a map of scores, no sigmoid."""

from __future__ import annotations

from autograd import Tensor
from autograd import ops as F
from kernels.device import Device, xp_of
from nn.layers import Conv2d, ConvNormRelu, LeakyReLU
from nn.module import Module, Sequential
from nn.network import Network


def widening(in_channels: int, ndf: int, n_layers: int, last_stride: int) -> tuple[dict[int, Module], int]:
    """All layers but the last, by their index, and the channels that they end with: a strided 4x4 convolution to ndf channels,
    and n_layers more that double them, up to 8*ndf; all are strided but the last of these, if `last_stride` is 1."""
    layers: dict[int, Module] = {0: Conv2d(in_channels, ndf, 4, stride=2, padding=1), 1: LeakyReLU(0.2)}
    channels = ndf
    for i in range(1, n_layers + 1):
        wider = ndf * min(2**i, 8)
        stride = 2 if i < n_layers else last_stride
        layers[3 * i - 1] = ConvNormRelu(channels, wider, 4, stride=stride, padding=1, activation="leaky_relu")
        channels = wider
    return layers, channels


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
        layers, channels = widening(in_channels, ndf, n_layers, last_stride=1)
        layers[3 * n_layers + 2] = Conv2d(channels, 1, 4, padding=1)
        self.model = Sequential(layers)
        self.finish(device, seed, init_type, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class StridedDiscriminator(Network):
    """PatchGAN as PyTorch-GAN has it: [N,H,W,in_channels] -> scores [N,H/16,W/16,1] with n_layers=3.

    One strided 4x4 convolution more than PatchDiscriminator has, and a last one that keeps the size. Weights from elsewhere may
    want it; runs have no use for it.
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
        layers, channels = widening(in_channels, ndf, n_layers, last_stride=2)
        layers[3 * n_layers + 3] = CornerConv2d(channels, 1)  # behind a pad of its own
        self.model = Sequential(layers)
        self.finish(device, seed, init_type, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class CornerConv2d(Conv2d):
    """A 4x4 convolution that keeps the size: two rows and columns of zeros before the picture, one behind it.

    It is the 5x5 convolution with two on each side whose last row and column of weights are zero.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 4, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        w = self.weight.for_input(x)  # [4,4,C,K]
        for axis in (0, 1):
            edge = (*w.shape[:axis], 1, *w.shape[axis + 1 :])
            w = F.concat(w, Tensor(xp_of(w.data).zeros(edge, w.dtype), device=w.device), axis=axis)
        return F.conv2d(x, w, self.bias, **self.geometry)  # w [5,5,C,K]


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
