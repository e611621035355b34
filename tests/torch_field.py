"""Networks as other code and other years have them, in plain torch: what their files hold is read by train/weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.torch_reference import Stack

Norm = Callable[[int], nn.Module]


def plain(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels)


def affine(channels: int) -> nn.Module:
    """Instance norm that scales and shifts."""
    return nn.InstanceNorm2d(channels, affine=True)


class Residual(nn.Module):
    """x + block(x), the block under any name."""

    def __init__(self, name: str, *layers: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        return x + getattr(self, self.name)(x)


def generator(
    *, ends: str = "reflect", inner: str = "reflect", up: str = "deconv", mode: str = "nearest", norm: Norm = plain,
    bias: bool = True, name: str = "conv_block", dropout: bool = False, ngf: int = 4, n_blocks: int = 2, channels: int = 3,
) -> Stack:  # fmt: skip
    """A ResNet generator.

    ends, inner  "reflect": a pad of its own before the convolutions at both ends, in the blocks; "zeros": the convolution pads
    up           "deconv", "zeros" (Upsample, Conv2d) or "reflect" (Upsample, ReflectionPad2d, Conv2d)
    """

    def conv(cin: int, cout: int, side: int, how: str, with_bias: bool = bias) -> list[nn.Module]:
        pad = side // 2
        if how == "reflect":
            return [nn.ReflectionPad2d(pad), nn.Conv2d(cin, cout, side, bias=with_bias)]
        return [nn.Conv2d(cin, cout, side, padding=pad, bias=with_bias)]

    def grow(cin: int, cout: int) -> list[nn.Module]:
        if up == "deconv":
            return [nn.ConvTranspose2d(cin, cout, 3, 2, 1, output_padding=1, bias=bias)]
        return [nn.Upsample(scale_factor=2, mode=mode), *conv(cin, cout, 3, up)]

    def block(c: int) -> nn.Module:
        middle = [norm(c), nn.ReLU(), *([nn.Dropout(0.0)] if dropout else [])]
        return Residual(name, *conv(c, c, 3, inner), *middle, *conv(c, c, 3, inner), norm(c))

    layers = [*conv(channels, ngf, 7, ends), norm(ngf), nn.ReLU()]
    for c in (ngf, 2 * ngf):
        layers += [nn.Conv2d(c, 2 * c, 3, 2, 1, bias=bias), norm(2 * c), nn.ReLU()]
    layers += [block(4 * ngf) for _ in range(n_blocks)]
    for c in (4 * ngf, 2 * ngf):
        layers += [*grow(c, c // 2), norm(c // 2), nn.ReLU()]
    return Stack(*layers, *conv(ngf, channels, 7, ends, True), nn.Tanh())


class Joined(nn.Module):
    """A level of a U-Net: its input beside what it makes of it; before 2017-09-22 behind it."""

    def __init__(self, early: bool, *layers: nn.Module) -> None:
        super().__init__()
        self.early, self.model = early, nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.model(x), x] if self.early else [x, self.model(x)], 1)


def u_net(norm: Norm = plain, bias: bool = True, early: bool = False, ngf: int = 2, num_downs: int = 5) -> Stack:
    """A U-Net of the reference implementation, which is nested: model.model.1.model.3.model…"""
    widths = [ngf * min(2**i, 8) for i in range(num_downs)]
    level: nn.Module | None = None
    for outer, c in reversed(list(itertools.pairwise(widths))):
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outer, c, 4, 2, 1, bias=bias)]
        inside = [] if level is None else [norm(c), level]
        up = nn.ConvTranspose2d(c if level is None else 2 * c, outer, 4, 2, 1, bias=bias)
        level = Joined(early, *down, *inside, nn.ReLU(), up, norm(outer))
    assert level is not None
    outermost = nn.Conv2d(3, ngf, 4, 2, 1, bias=bias), level, nn.ReLU(), nn.ConvTranspose2d(2 * ngf, 3, 4, 2, 1)
    network = Stack()
    network.model = Stack(*outermost, nn.Tanh())
    return network


def discriminator(kind: str = "patch", norm: Norm = plain, bias: bool = True, ndf: int = 4, n_layers: int = 3) -> Stack:
    """A patch discriminator: the reference implementation's ("patch") or PyTorch-GAN's ("strided")."""
    layers: list[nn.Module] = [nn.Conv2d(3, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
    c = ndf
    for i in range(1, n_layers + 1):
        wider = ndf * min(2**i, 8)
        stride = 2 if i < n_layers or kind == "strided" else 1
        layers += [nn.Conv2d(c, wider, 4, stride, 1, bias=bias), norm(wider), nn.LeakyReLU(0.2)]
        c = wider
    if kind == "strided":
        layers.append(nn.ZeroPad2d((1, 0, 1, 0)))
    return Stack(*layers, nn.Conv2d(c, 1, 4, padding=1))
