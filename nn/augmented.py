"""The networks of Augmented CycleGAN: pictures made from a picture and a code, codes read from pictures, and their discriminators.

After A. Almahairi et al. 2018 (https://arxiv.org/abs/1802.10151) and the authors' code, whose sizes these are. A code is
[N,1,1,nlatent]: a linear layer is a 1x1 convolution of it. Convolutions ahead of a norm have no bias, which would be dead.
"""

from __future__ import annotations

from typing import Any

from autograd import Tensor
from autograd import ops as F
from kernels.device import Device
from nn.layers import Conv2d, ConvTranspose2d, LeakyReLU, Tanh
from nn.module import Module, Sequential
from nn.network import Network
from nn.norms import AffineInstanceNorm, BatchNorm, ConditionalInstanceNorm


class CodedBlock(Module):
    """relu(x + norm(conv(relu(conv(x))))), the inner convolution followed by a conditional norm where there is a code."""

    def __init__(self, channels: int, nlatent: int) -> None:
        conv: dict[str, Any] = dict(padding=1, padding_mode="reflect")
        self.conv1 = Conv2d(channels, channels, 3, bias=nlatent == 0, **conv)
        self.norm1 = ConditionalInstanceNorm(channels, nlatent) if nlatent else None
        self.conv2 = Conv2d(channels, channels, 3, bias=False, **conv)
        self.norm2 = AffineInstanceNorm(channels)

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        h = self.conv1(x)
        h = F.relu(h) if self.norm1 is None else self.norm1(h, z)
        return F.relu(F.add(x, self.norm2(self.conv2(h))))


class CodedGenerator(Network):
    """Picture and code to picture: [N,H,W,in_channels] and [N,1,1,nlatent] -> [N,H,W,out_channels] in [-1, 1].

    nlatent 0: no code, affine norms. Shrinks the picture once, so sides must be even.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, ngf: int = 32, n_blocks: int = 3, nlatent: int = 16,
        device: str | Device = "cpu", seed: int = 0, init_type: str = "normal", init_gain: float = 0.02,
    ) -> None:  # fmt: skip
        self.in_channels, self.nlatent = in_channels, nlatent

        def norm(channels: int) -> Module:
            return ConditionalInstanceNorm(channels, nlatent) if nlatent else AffineInstanceNorm(channels, "relu")

        layers: list[Module] = [
            Conv2d(in_channels, ngf, 7, padding=3, padding_mode="reflect", bias=False), norm(ngf),
            Conv2d(ngf, 2 * ngf, 3, padding=1, bias=False), norm(2 * ngf),
            Conv2d(2 * ngf, 4 * ngf, 3, stride=2, padding=1, bias=False), norm(4 * ngf),
            *(CodedBlock(4 * ngf, nlatent) for _ in range(n_blocks)),
            ConvTranspose2d(4 * ngf, 2 * ngf, 3, output_padding=1, bias=False), norm(2 * ngf),
            Conv2d(2 * ngf, ngf, 3, padding=1, bias=False), norm(ngf),
            Conv2d(ngf, out_channels, 7, padding=3), Tanh(),
        ]  # fmt: skip
        self.model = Sequential(dict(enumerate(layers)))
        self.finish(device, seed, init_type, init_gain)

    def example(self, height: int, width: int) -> tuple[str, list[tuple[int, ...]]]:
        words, shapes = super().example(height, width)
        return (f"{words} and a code", [*shapes, (1, 1, 1, self.nlatent)]) if self.nlatent else (words, shapes)

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        if self.nlatent and z is None:
            raise ValueError(f"this generator wants a code z, [{len(x)},1,1,{self.nlatent}], beside its pictures")
        for _, layer in self.model.children():
            coded = self.nlatent and isinstance(layer, ConditionalInstanceNorm | CodedBlock)
            x = layer(x, z) if coded else layer(x)
        return x


class AffineDiscriminator(Network):
    """Scores [N,P,Q,1] of pictures: convolutions (channels, stride) with affine norms, then one more to a score.

    The first layer has no norm. `last_padding` 0 with a 4x4 map before it leaves one score for the picture.
    """

    def __init__(
        self, in_channels: int, layers: list[tuple[int, int]], kernel: int = 4, last_padding: int = 1,
        device: str | Device = "cpu", seed: int = 0, init_type: str = "normal", init_gain: float = 0.02,
    ) -> None:  # fmt: skip
        self.in_channels = channels = in_channels
        modules: list[Module] = []
        for i, (wider, stride) in enumerate(layers):
            modules.append(Conv2d(channels, wider, kernel, stride=stride, padding=1, bias=i == 0))
            modules.append(AffineInstanceNorm(wider, "leaky_relu") if i else LeakyReLU(0.2))
            channels = wider
        modules.append(Conv2d(channels, 1, 4, padding=last_padding))
        self.model = Sequential(dict(enumerate(modules)))
        self.finish(device, seed, init_type, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class LatentEncoder(Network):
    """The code that leads from one picture to another, both given side by side: [N,H,W,in_channels] -> [N,1,1,2 nlatent].

    The first half is the code's mean, the second the logarithm of its variance. `n_down` strided layers must leave at
    least 4x4 pixels; what is more than one place at the end is averaged.
    """

    def __init__(
        self, in_channels: int, nef: int = 32, n_down: int = 4, nlatent: int = 16,
        device: str | Device = "cpu", seed: int = 0, init_type: str = "normal", init_gain: float = 0.02,
    ) -> None:  # fmt: skip
        self.in_channels, self.nlatent = in_channels, nlatent
        modules: list[Module] = [Conv2d(in_channels, nef, 3, stride=2, padding=1), LeakyReLU(0.0)]
        channels = nef
        for _ in range(n_down - 1):
            wider = min(2 * channels, 8 * nef)
            modules += [Conv2d(channels, wider, 3, stride=2, padding=1, bias=False), BatchNorm(wider, "relu")]
            channels = wider
        modules += [Conv2d(channels, channels, 4, bias=False), BatchNorm(channels, "relu")]
        modules.append(Conv2d(channels, 2 * nlatent, 1))
        self.model = Sequential(dict(enumerate(modules)))
        self.finish(device, seed, init_type, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).mean((1, 2), keepdims=True)


class LatentDiscriminator(Network):
    """Scores [N,1,1,1] of codes [N,1,1,nlatent]: drawn from the prior, or read from a picture? An MLP with batch norm."""

    def __init__(
        self, nlatent: int = 16, ndf: int = 64,
        device: str | Device = "cpu", seed: int = 0, init_type: str = "normal", init_gain: float = 0.02,
    ) -> None:  # fmt: skip
        self.in_channels = channels = nlatent
        modules: list[Module] = []
        for _ in range(3):
            modules += [Conv2d(channels, ndf, 1, bias=False), BatchNorm(ndf, "leaky_relu")]
            channels = ndf
        modules.append(Conv2d(ndf, 1, 1))
        self.model = Sequential(dict(enumerate(modules)))
        self.finish(device, seed, init_type, init_gain)

    def example(self, height: int, width: int) -> tuple[str, list[tuple[int, ...]]]:
        return "a code", [(1, 1, 1, self.in_channels)]

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z)
