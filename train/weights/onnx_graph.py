"""A network as an ONNX model, for runtimes in other languages, on phones and in browsers.

The graph is written node by node, so that no exporter stands between the two. x [N,C,H,W] in [-1, 1] -> y [N,K,P,Q], with N, H
and W left open, or fixed for runtimes that want numbers; layouts and weight names are PyTorch's, as everywhere in ONNX. Needs the
package onnx.

A generator makes pictures whose sides are multiples of 4, a U-Net's of 2**num_downs. train.translate mirrors others at their right
and lower edge up to one, and cuts the result back; so does a model of a fixed size. Where sizes are open, whoever runs it does that.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from nn.affine import Affine
from nn.layers import (
    Conv2d,
    ConvNormRelu,
    ConvTranspose2d,
    ConvTransposeNormRelu,
    LeakyReLU,
    ResizeConvNormRelu,
    Tanh,
)
from nn.module import Module, Sequential
from nn.network import Network
from nn.patch_discriminator import CornerConv2d
from nn.resnet_generator import ResnetBlock, ResnetGenerator
from nn.unet_generator import UnetBlock, UnetGenerator
from train.errors import UserError

OPSET, IR_VERSION = 17, 9


class Graph:
    """Nodes and constants, collected by walking through a network. Every method returns the name of its result."""

    def __init__(self, network: Network) -> None:
        self.helper = importlib.import_module("onnx.helper")
        self.names = {id(module): name for name, module in network.named_modules()}
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(self.helper.make_node(kind, list(inputs), [f"t{len(self.nodes)}"], **attributes))
        return f"t{len(self.nodes) - 1}"

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self.constants[name] = np.asarray(value, dtype)
        return name

    def parameter(self, module: Module, entry: str) -> str:
        return self.constant(f"{self.names[id(module)]}.{entry}", getattr(module, entry).to_torch())

    # -- the layers

    def walk(self, module: Module, x: str, skip: str | None = None) -> str:
        """The nodes of any module; `skip` is what a fused layer adds to its result."""
        y = EMIT[type(module)](self, module, x)
        return y if skip is None else self.node("Add", y, skip)

    def convolution(self, layer: Conv2d | ConvNormRelu, x: str) -> str:
        pad, stride = layer.geometry["padding"], layer.geometry["stride"]
        if pad and layer.geometry["padding_mode"] == "reflect":
            widths = self.constant(f"pad{pad}", [0, 0, pad, pad, 0, 0, pad, pad], np.int64)
            x, pad = self.node("Pad", x, widths, mode="reflect"), 0
        weight, bias = self.parameter(layer, "weight"), self.parameter(layer, "bias")
        return self.node("Conv", x, weight, bias, pads=[pad] * 4, strides=[stride] * 2)

    def corner(self, layer: CornerConv2d, x: str) -> str:
        return self.node("Conv", x, self.parameter(layer, "weight"), self.parameter(layer, "bias"), pads=[2, 2, 1, 1])

    def mirrored(self, x: str, more: list[int]) -> str:
        """x with so many rows and columns more, mirrored at the lower and right edge."""
        if not any(more):
            return x
        return self.node("Pad", x, self.constant("more", [0, 0, 0, 0, 0, 0, *more], np.int64), mode="reflect")

    def cut(self, y: str, sides: list[Any]) -> str:
        """The first rows and columns."""
        ends = self.constant("sides", sides, np.int64)
        return self.node(
            "Slice", y, self.constant("zeros", [0, 0], np.int64), ends, self.constant("axes", [2, 3], np.int64)
        )

    def transposed(self, layer: ConvTranspose2d, x: str) -> str:
        stride, pad, more = (layer.geometry[key] for key in ("stride", "padding", "output_padding"))
        weight, bias = self.parameter(layer, "weight"), self.parameter(layer, "bias")
        sizes = dict(strides=[stride] * 2, pads=[pad] * 4, output_padding=[more] * 2)
        return self.node("ConvTranspose", x, weight, bias, **sizes)

    def norm(self, x: str, channels: int, activation: str) -> str:
        ones, zeros = (
            self.constant(f"ones{channels}", np.ones(channels)),
            self.constant(f"zeros{channels}", np.zeros(channels)),
        )
        return self.activation(self.node("InstanceNormalization", x, ones, zeros, epsilon=1e-5), activation)

    def activation(self, x: str, kind: str) -> str:
        if kind == "leaky_relu":
            return self.node("LeakyRelu", x, alpha=0.2)
        return self.node("Relu", x) if kind == "relu" else x

    def resized(self, layer: ResizeConvNormRelu, x: str) -> str:
        how = dict(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        if layer.mode == "bilinear":
            how = dict(mode="linear", coordinate_transformation_mode="half_pixel")
        return self.node("Resize", x, "", self.constant("twice", [1, 1, 2, 2]), **how)

    def affine(self, layer: Affine, x: str) -> str:
        scale, shift = (
            self.constant(f"{self.parameter(layer, entry)}", getattr(layer, entry).to_torch()[:, None, None])
            for entry in ("weight", "bias")
        )
        return self.activation(self.node("Add", self.node("Mul", x, scale), shift), layer.activation)

    def resnet_block(self, block: ResnetBlock, x: str) -> str:
        *inner, last = (layer for _, layer in block.conv_block.children())
        h = x
        for layer in inner:
            h = self.walk(layer, h)
        return self.walk(last, h, x)

    def unet_block(self, block: UnetBlock, x: str) -> str:
        h = x if block.outermost else self.activation(x, "leaky_relu")
        for _, layer in block.model.children():
            h = self.walk(layer, self.node("Relu", h) if isinstance(layer, ConvTranspose2d) else h)
        return self.node("Tanh", h) if block.outermost else self.node("Concat", x, h, axis=1)

    def sequential(self, modules: Sequential, x: str) -> str:
        for _, module in modules.children():
            x = self.walk(module, x)
        return x

    def conv_norm(self, layer: ConvNormRelu, x: str) -> str:
        return self.norm(self.convolution(layer, x), len(layer.bias), layer.activation)


EMIT: dict[type[Module], Callable[[Graph, Any, str], str]] = {
    Conv2d: Graph.convolution,
    CornerConv2d: Graph.corner,
    ConvNormRelu: Graph.conv_norm,
    ResizeConvNormRelu: lambda graph, layer, x: graph.conv_norm(layer, graph.resized(layer, x)),
    ConvTranspose2d: Graph.transposed,
    ConvTransposeNormRelu: lambda g, layer, x: g.norm(g.transposed(layer, x), len(layer.bias), layer.activation),
    Affine: Graph.affine,
    LeakyReLU: lambda graph, layer, x: graph.node("LeakyRelu", x, alpha=layer.slope),
    Tanh: lambda graph, layer, x: graph.node("Tanh", x),
    ResnetBlock: Graph.resnet_block,
    UnetBlock: Graph.unet_block,
    Sequential: Graph.sequential,
}


def onnx_model(network: Network, size: tuple[int, int] | None = None) -> Any:
    """The network as an onnx.ModelProto, for pictures of any size or of one, (height, width). UserError if onnx is missing, or
    the size is too small to be mirrored up to one that fits."""
    try:
        numpy_helper = importlib.import_module("onnx.numpy_helper")
    except ImportError as error:
        raise UserError('onnx is not installed: pip install -e ".[exchange]"') from error
    graph = Graph(network)
    body = next(module for _, module in network.children())
    channels = next(len(p) for name, p in reversed(list(network.named_parameters())) if name.endswith("bias"))
    taken: list[Any] = ["N", network.in_channels, "H", "W"]
    made: list[Any] = ["N", channels, "P", "Q"]
    x = "x"
    if size is not None:
        taken, made = [1, network.in_channels, *size], [1, channels, *made_of(network, size)]
        x = graph.mirrored(x, [fit - side for fit, side in zip(fitting(network, *size), size, strict=True)])
    y = graph.walk(body, x)
    graph.node("Identity", y if x == "x" else graph.cut(y, made[2:]))
    graph.nodes[-1].output[0] = "y"
    describe, floats = graph.helper.make_tensor_value_info, 1  # onnx.TensorProto.FLOAT
    whole = graph.helper.make_graph(
        graph.nodes, type(network).__name__, [describe("x", floats, taken)], [describe("y", floats, made)],
        [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        doc_string="Values in [-1, 1], channels first.",
    )  # fmt: skip
    model = graph.helper.make_model(
        whole, opset_imports=[graph.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="palindrome"
    )
    about = {
        "range": "[-1, 1]: x = p / 127.5 - 1 for p from 0 to 255",
        "layout": "NCHW, RGB",
        "sizes": sizes(network, size),
    }
    graph.helper.set_model_props(model, about)
    return model


def made_of(network: Network, size: tuple[int, int]) -> tuple[int, int]:
    """The sides of what a network makes of a picture of that size: a generator the same, a discriminator a smaller map."""
    if step(network) > 1:
        return size
    with no_grad():
        scores = network(Tensor(np.zeros((1, *size, network.in_channels), np.float32), device=network.device))
    return scores.shape[1], scores.shape[2]


def step(network: Network) -> int:
    """What a picture's sides must be multiples of, to come out as large as they are; 1 for a discriminator, which makes a map."""
    return (
        2**network.num_downs if isinstance(network, UnetGenerator) else 4 if isinstance(network, ResnetGenerator) else 1
    )


def fitting(network: Network, height: int, width: int) -> tuple[int, int]:
    """The next sides that fit. UserError where a picture is too small to be mirrored that far."""
    n = step(network)
    least = 8 if n == 4 else n
    fit = max(-(-height // n) * n, least), max(-(-width // n) * n, least)
    if n > 1 and (fit[0] >= 2 * height or fit[1] >= 2 * width):
        raise UserError(
            f"--size {width}x{height}: mirroring does not make {fit[1]}x{fit[0]} of it, which the network needs; wanted more"
        )
    return (height, width) if n == 1 else fit


def sizes(network: Network, size: tuple[int, int] | None) -> str:
    """In words, which pictures a model takes."""
    n = step(network)
    if size is not None:
        return f"{size[1]}x{size[0]} only"
    if n == 1:
        return "any"
    other = "others fail" if isinstance(network, UnetGenerator) else "others come out larger, and differ at every pixel"
    return (
        f"sides that are multiples of {n}; {other}: mirror the picture at its right and lower edge up to one and cut the result, as "
        "train.translate does"
    )
