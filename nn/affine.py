"""Instance norm that also scales and shifts each channel, as networks of 2017 have it; and batch norm on one picture.

Today's CycleGAN has no such parameters; old weight files do, and their pictures come out wrong without them. They cannot be
folded into the next convolution, because a ReLU and zero padding stand between. So the layer is put in beside the norm,
under the index at which PyTorch keeps them. A batch norm in training mode takes its statistics from the batch: of a single
picture they are the picture's, so it is this layer too.
"""

from __future__ import annotations

import numpy as np

from autograd import Tensor
from autograd import ops as F
from nn.layers import ConvNormRelu, ConvTransposeNormRelu
from nn.module import Module, Parameter, Sequential
from nn.network import Network


class Affine(Module):
    """act(x * weight + bias) + skip, weight and bias [C]."""

    def __init__(self, channels: int, activation: str) -> None:
        self.weight, self.bias = Parameter(np.ones(channels, np.float32)), Parameter(np.zeros(channels, np.float32))
        self.activation = activation

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        y = F.add(F.mul(x, self.weight.for_input(x)), self.bias.for_input(x))
        if self.activation != "none":
            y = F.leaky_relu(y, 0.2 if self.activation == "leaky_relu" else 0.0)
        return y if skip is None else F.add(y, skip)


def make_affine(network: Network) -> Network:
    """Give every instance norm of a generator or a discriminator scale 1 and shift 0; returns the network."""
    for _, module in list(network.named_modules()):
        if isinstance(module, Sequential):
            for index, layer in list(module.children()):
                delattr(module, index)  # and set again below, so that the order stays that of the layers
                setattr(module, index, layer)
                if isinstance(layer, ConvNormRelu | ConvTransposeNormRelu):
                    setattr(module, str(int(index) + 1), Affine(len(layer.bias), layer.activation))
                    layer.activation = "none"
    network.to(network.device)
    return network
