"""The ResNet generator of Johnson et al. as CycleGAN uses it: shrink, transform with residual blocks, grow again."""

from __future__ import annotations

from autograd import Tensor
from autograd.mode import grad_enabled
from kernels.device import Device
from nn.layers import Conv2d, ConvNormRelu, ConvTransposeNormRelu, ResizeConvNormRelu, Tanh
from nn.module import Module, Sequential
from nn.network import Network


class ResnetBlock(Module):
    """x + norm(conv(relu(norm(conv(x))))): two reflected 3x3 convolutions, no activation after the addition.

    With `checkpointing` nothing inside is kept for the backward, which computes it again.
    """

    def __init__(self, channels: int, checkpointing: bool = False) -> None:
        self.checkpointing = checkpointing
        self.conv_block = Sequential(
            {
                1: ConvNormRelu(channels, channels, 3, padding=1, padding_mode="reflect"),
                5: ConvNormRelu(channels, channels, 3, padding=1, padding_mode="reflect", activation="none"),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.checkpointing and grad_enabled():
            from autograd.checkpointing import checkpointed

            return checkpointed(self.transform, x, self.parameters())
        return self.transform(x)

    def transform(self, x: Tensor) -> Tensor:
        """The block itself."""
        *inner, last = (layer for _, layer in self.conv_block.children())
        h = x
        for layer in inner:
            h = layer(h)
        return last(h, x)


class ResnetGenerator(Network):
    """Picture to picture, [N,H,W,in_channels] -> [N,H,W,out_channels] in [-1, 1].

    Sides that are no multiples of 4 come back as the next multiple.

    ngf       channels of the first layer; two strided layers double it twice
    n_blocks  residual blocks: 9 for 256 pixels and up, 6 for 128
    upsample  "deconv" (transposed convolution), or "nearest" / "bilinear" resizing followed by a convolution
    checkpointing  whether the blocks' inner activations are computed again in the backward instead of being kept

    Layers carry the indices of PyTorch's `Sequential` in the reference implementation, where pads, norms and activations count too.
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        ngf: int = 64,
        n_blocks: int = 9,
        upsample: str = "deconv",
        device: str | Device = "cpu",
        seed: int = 0,
        init_type: str = "normal",
        init_gain: float = 0.02,
        checkpointing: bool = False,
    ) -> None:
        self.in_channels = in_channels
        up = 10 + n_blocks  # index of the first layer that grows the picture
        self.model = Sequential(
            {
                1: ConvNormRelu(in_channels, ngf, 7, padding=3, padding_mode="reflect"),
                4: ConvNormRelu(ngf, 2 * ngf, 3, stride=2, padding=1),
                7: ConvNormRelu(2 * ngf, 4 * ngf, 3, stride=2, padding=1),
                **{10 + i: ResnetBlock(4 * ngf, checkpointing) for i in range(n_blocks)},
                up: growing(4 * ngf, 2 * ngf, upsample),
                up + 3: growing(2 * ngf, ngf, upsample),
                up + 7: Conv2d(ngf, out_channels, 7, padding=3, padding_mode="reflect"),
                up + 8: Tanh(),
            }
        )
        self.finish(device, seed, init_type, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def growing(in_channels: int, out_channels: int, upsample: str) -> Module:
    """The layer that doubles a picture's sides."""
    if upsample == "deconv":
        return ConvTransposeNormRelu(in_channels, out_channels, 3, output_padding=1)
    if upsample in ("nearest", "bilinear"):
        return ResizeConvNormRelu(in_channels, out_channels, upsample)
    raise ValueError(f"unknown upsample {upsample!r}; wanted deconv, nearest or bilinear")
