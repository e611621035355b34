"""The ResNet generator on pictures too large for their feature maps: strip by strip, with the same result.

Cutting a picture into tiles and translating each changes colours from tile to tile, because instance norm takes its mean and
variance from what it sees. Here every norm takes them from the whole picture, so there are no seams to hide:

    a map smaller than the picture is computed strip by strip and held;
    a map as large as the picture is never held: one pass over its strips gathers mean and variance, and whoever reads it
    computes the strip again. There are two, the first and the last norm's; doing them twice costs 4 % of the whole.

With ngf channels, 3 maps of 4*ngf channels at a quarter of the sides are held at most: 3*ngf bytes per pixel in float32, and
a little for the strips. A whole forward holds several maps of ngf channels per pixel. The result differs from it by
rounding only, because the sums run in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from autograd import ops as F
from kernels.device import Array, to_host, xp_of
from nn.affine import Affine
from nn.layers import Conv2d, ConvNormRelu, ConvTranspose2d, ConvTransposeNormRelu, ResizeConvNormRelu, Tanh
from nn.module import Module
from nn.resnet_generator import ResnetBlock, ResnetGenerator

STRIP = 1 << 24  # numbers in a strip of the widest map: 64 MB


class Map:
    """A feature map [1,height,width,channels] of which rows can be had. This one is held whole."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.height, self.width, self.channels = array.shape[1:]

    def read(self, first: int, last: int) -> Array:
        """Rows first to last-1: [1,last-first,width,channels]. Not to be written to."""
        return self.array[:, first:last]

    def strips(self) -> Iterator[tuple[int, int]]:
        """First and last row of strips that together are the map."""
        rows = max(16, STRIP // (self.width * max(self.channels, 64)) // 4 * 4)
        for first in range(0, self.height, rows):
            yield first, min(first + rows, self.height)

    def held(self, into: Array | None = None) -> Map:
        """This map in memory; `into` is an array of its shape that may be overwritten."""
        for first, last in self.strips():
            rows = self.read(first, last)
            if into is None:
                into = xp_of(rows).empty((1, self.height, self.width, self.channels), rows.dtype)
            into[:, first:last] = rows
        return Map(into)


class Pointwise(Map):
    """A map computed from the same rows of another."""

    def __init__(self, source: Map) -> None:
        self.source = source
        self.height, self.width, self.channels = source.height, source.width, source.channels

    def read(self, first: int, last: int) -> Array:
        return self.compute(self.source.read(first, last))

    def compute(self, x: Array) -> Array:
        raise NotImplementedError


class Normed(Pointwise):
    """act((x - mean) / sqrt(variance + eps)), mean and variance over the whole map."""

    def __init__(self, source: Map, activation: str, eps: float = 1e-5) -> None:
        super().__init__(source)
        self.activation = activation
        count: int = 0
        mean: Any = 0.0
        squares: Any = 0.0  # of the rows so far; squares: summed squared deviations from their mean
        for first, last in source.strips():
            x = source.read(first, last)
            n = x.shape[1] * x.shape[2]
            here = x.mean(axis=2, dtype=np.float32).mean(axis=1, dtype=np.float64)[:, None, None]
            here_squares = (
                n * ((x - here.astype(x.dtype)) ** 2).mean(axis=2).mean(axis=1, dtype=np.float64)[:, None, None]
            )
            gap = here - mean  # Chan, Golub, LeVeque (1983), as in kernels/instance_norm/cpu.py
            squares = squares + here_squares + gap**2 * (count * n / (count + n))
            mean = mean + gap * (n / (count + n))
            count += n
        self.mean, self.rstd = (v.astype(np.float32) for v in (mean, 1 / (squares / count + eps) ** 0.5))

    def compute(self, x: Array) -> Array:
        y = (x - self.mean) * self.rstd
        return xp_of(y).maximum(y, 0, out=y) if self.activation == "relu" else y


class Layer(Pointwise):
    """A layer that works pixel by pixel."""

    def __init__(self, source: Map, layer: Module) -> None:
        super().__init__(source)
        self.layer = layer

    def compute(self, x: Array) -> Array:
        return self.layer(Tensor(x)).data


class Sum(Pointwise):
    """A map plus another of its size."""

    def __init__(self, source: Map, other: Map) -> None:
        super().__init__(source)
        self.other = other

    def read(self, first: int, last: int) -> Array:
        return self.source.read(first, last) + self.other.read(first, last)


class Convolved(Map):
    """A convolution of another map. A bias that a norm takes away is left out, as in the layer itself."""

    def __init__(self, source: Map, layer: Conv2d | ConvNormRelu) -> None:
        self.source, self.layer = source, layer
        self.pad, self.stride = layer.geometry["padding"], layer.geometry["stride"]
        self.mode = {"zeros": "constant", "reflect": "reflect"}[layer.geometry["padding_mode"]]
        self.taps, _, _, self.channels = layer.weight.shape
        self.height, self.width = (
            (side + 2 * self.pad - self.taps) // self.stride + 1 for side in (source.height, source.width)
        )

    def read(self, first: int, last: int) -> Array:
        above, below = first * self.stride - self.pad, (last - 1) * self.stride - self.pad + self.taps
        top, bottom = max(above, 0), min(below, self.source.height)
        x = self.source.read(top, bottom)
        around = ((0, 0), (top - above, below - bottom), (self.pad, self.pad), (0, 0))
        x = Tensor(xp_of(x).pad(x, around, mode=self.mode))
        bias = self.layer.bias if isinstance(self.layer, Conv2d) else None
        return F.conv2d(x, self.layer.weight, bias, stride=self.stride).data


class Grown(Map):
    """A map of twice the sides; rows 2i and 2i+1 come from rows i and i+1, and, where it is resized, from i-1."""

    def __init__(self, source: Map, channels: int) -> None:
        self.source, self.channels = source, channels
        self.height, self.width = 2 * source.height, 2 * source.width

    def read(self, first: int, last: int) -> Array:
        top, bottom = max(first // 2 - 1, 0), min((last + 1) // 2 + 1, self.source.height)
        y = self.grow(Tensor(self.source.read(top, bottom)))
        return y[:, first - 2 * top : last - 2 * top]

    def grow(self, x: Tensor) -> Array:
        raise NotImplementedError


class Transposed(Grown):
    """A transposed convolution, 3x3, stride 2."""

    def __init__(self, source: Map, layer: ConvTranspose2d) -> None:
        super().__init__(source, layer.weight.shape[3])
        self.layer = layer

    def grow(self, x: Tensor) -> Array:
        return F.conv_transpose2d(x, self.layer.weight, **self.layer.geometry).data


class Resized(Grown):
    """A map resized to twice its sides."""

    def __init__(self, source: Map, mode: str) -> None:
        super().__init__(source, source.channels)
        self.mode = mode

    def grow(self, x: Tensor) -> Array:
        return F.resize(x, (2 * x.shape[1], 2 * x.shape[2]), self.mode).data


@no_grad()
def run_in_strips(network: ResnetGenerator, picture: np.ndarray) -> np.ndarray:
    """network(picture) of one picture [1,H,W,C], both sides multiples of 4, on the host: [1,H,W,K]."""
    if picture.shape[0] != 1 or picture.shape[1] % 4 or picture.shape[2] % 4:
        raise ValueError(
            f"run_in_strips: a picture {picture.shape}; wanted [1,H,W,C] with sides that are multiples of 4"
        )
    whole = picture.shape[1:3]
    x: Map = Map(network.device.asarray(picture))
    for _, layer in network.model.children():
        x = block(x, layer) if isinstance(layer, ResnetBlock) else step(x, layer, whole)
    result = np.empty((1, x.height, x.width, x.channels), np.float32)
    for first, last in x.strips():
        result[:, first:last] = to_host(x.read(first, last))
    return result


def step(x: Map, layer: Any, whole: tuple[int, int]) -> Map:
    """The map behind a layer; held where it is smaller than the picture."""

    def kept(z: Map) -> Map:
        return z if (z.height, z.width) == whole else z.held()

    if isinstance(layer, ResizeConvNormRelu):
        return Normed(kept(Convolved(Resized(x, layer.mode), layer)), layer.activation)
    if isinstance(layer, ConvNormRelu):
        return Normed(kept(Convolved(x, layer)), layer.activation)
    if isinstance(layer, ConvTransposeNormRelu):
        return Normed(kept(Transposed(x, layer)), layer.activation)
    if isinstance(layer, Conv2d):
        return Convolved(x, layer)
    if isinstance(layer, Affine | Tanh):
        return Layer(x, layer)
    raise TypeError(f"run_in_strips: a {type(layer).__name__} is no layer of a ResNet generator")


def block(x: Map, layer: ResnetBlock) -> Map:
    """The held map behind a residual block; it takes the place of the block's last convolution."""
    h = x
    for _, inner in layer.conv_block.children():
        h = step(h, inner, (0, 0))
    last: Any = h
    while not isinstance(last, Normed):
        last = last.source
    return Sum(h, x).held(into=last.source.array)
