"""The U-Net generator of pix2pix: an encoder down to one pixel and a decoder that sees every encoder layer again."""

from __future__ import annotations

from autograd import Tensor
from autograd import ops as F
from kernels.device import Device
from nn.layers import Conv2d, ConvNormRelu, ConvTranspose2d, ConvTransposeNormRelu, Dropout
from nn.module import Module, Sequential
from nn.network import Network


class UnetBlock(Module):
    """One level: shrink, the levels inside, grow, and the input beside the result.

        x -> leaky_relu -> conv k4 s2 -> (norm) -> inner -> relu -> conv_transpose k4 s2 -> (norm) -> (dropout)
          ->  concat with x

    The outermost level has no activation in front, ends in tanh and joins nothing; the innermost has no inner level
    and no norm on the way down. Numbers are the indices in the reference implementation's `Sequential`.
    """

    def __init__(self, outer: int, channels: int, inner: Module | None, in_channels: int | None = None, outermost: bool = False, dropout: float = 0.0) -> None:  # fmt: skip
        in_channels = outer if in_channels is None else in_channels
        self.outermost = outermost
        grown = channels if inner is None else 2 * channels
        if outermost:
            assert inner is not None
            layers = {0: Conv2d(in_channels, channels, 4, 2, 1), 1: inner, 3: ConvTranspose2d(grown, outer, 4)}
        elif inner is None:
            layers = {1: Conv2d(in_channels, channels, 4, 2, 1), 3: norm_up(grown, outer)}
        else:
            down = ConvNormRelu(in_channels, channels, 4, 2, 1, activation="none")
            layers = {1: down, 3: inner, 5: norm_up(grown, outer)}
        self.dropout = Dropout(dropout)
        self.model = Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.outermost else F.leaky_relu(x, 0.2)
        for _, layer in self.model.children():
            h = layer(F.relu(h) if isinstance(layer, ConvTranspose2d) else h)
        h = self.dropout(h)
        return F.tanh(h) if self.outermost else F.concat(x, h)


def norm_up(in_channels: int, out_channels: int) -> ConvTransposeNormRelu:
    """The growing half of a level; the activation comes after the concatenation."""
    return ConvTransposeNormRelu(in_channels, out_channels, 4, activation="none")


class UnetGenerator(Network):
    """Picture to picture, [N,H,W,in_channels] -> [N,H,W,out_channels] in [-1, 1].

    num_downs  levels: 7 for 128x128 pictures, 8 for 256x256; H and W must be multiples of 2**num_downs
    ngf        channels of the outermost level; they double up to 8*ngf
    dropout    share dropped after the levels of 8*ngf channels but the innermost, within nn.layers.dropping: pix2pix's noise
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        num_downs: int = 8,
        ngf: int = 64,
        dropout: float = 0.0,
        device: str | Device = "cpu",
        seed: int = 0,
        init_type: str = "normal",
        init_gain: float = 0.02,
    ) -> None:
        if num_downs < 5:
            raise ValueError(f"UnetGenerator: num_downs is {num_downs}, wanted at least 5")
        self.in_channels, self.num_downs = in_channels, num_downs
        block = UnetBlock(8 * ngf, 8 * ngf, None)
        for _ in range(num_downs - 5):
            block = UnetBlock(8 * ngf, 8 * ngf, block, dropout=dropout)
        for outer in (4 * ngf, 2 * ngf, ngf):
            block = UnetBlock(outer, 2 * outer, block)
        self.model = UnetBlock(out_channels, ngf, block, in_channels, outermost=True)
        self.finish(device, seed, init_type, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        step = 2**self.num_downs
        if x.shape[1] % step or x.shape[2] % step:
            raise ValueError(
                f"UnetGenerator: a picture of {x.shape[1]}x{x.shape[2]} cannot be halved {self.num_downs} times; "
                f"both sides must be multiples of {step}"
            )
        return self.model(x)
