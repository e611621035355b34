"""The ResNet generator of Johnson et al. as CycleGAN uses it: shrink, transform with residual blocks, grow again."""

from __future__ import annotations

from collections.abc import Collection

from autograd import Tensor
from autograd.mode import grad_enabled
from kernels.device import Device
from nn.layers import Conv2d, ConvNormRelu, ConvTransposeNormRelu, ResizeConvNormRelu, Tanh
from nn.module import Module, Sequential
from nn.network import Network

PARTS = ("ends", "blocks", "resize")  # whose pictures are mirrored at their edges, unless they are zero_padded


class ResnetBlock(Module):
    """x + norm(conv(relu(norm(conv(x))))): two 3x3 convolutions, mirrored or zero-padded, no activation after the addition.

    With `checkpointing` nothing inside is kept for the backward, which computes it again.
    """

    def __init__(self, channels: int, checkpointing: bool = False, padding_mode: str = "reflect") -> None:
        self.checkpointing = checkpointing
        pad = int(padding_mode == "reflect")  # a layer of its own, which takes an index
        self.conv_block = Sequential(
            {
                pad: ConvNormRelu(channels, channels, 3, padding=1, padding_mode=padding_mode),
                2 * pad + 3: ConvNormRelu(
                    channels, channels, 3, padding=1, padding_mode=padding_mode, activation="none"
                ),
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
    zero_padded    which of PARTS see zeros beyond the edge instead of the mirrored picture: the 7x7 convolutions at both ends,
                   the blocks, the convolutions after resizing. Weights from elsewhere may want it; ValueError for another part

    Layers carry the indices of PyTorch's `Sequential` in the reference implementation, where pads, norms and activations count
    too; so the indices tell what is zero-padded.
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
        zero_padded: Collection[str] = (),
    ) -> None:
        if unknown := set(zero_padded) - set(PARTS):
            raise ValueError(
                f"ResnetGenerator: zero_padded has {', '.join(sorted(unknown))}; wanted some of {', '.join(PARTS)}"
            )
        self.in_channels = in_channels
        ends, blocks, resized = ("zeros" if part in zero_padded else "reflect" for part in PARTS)
        pad = int(ends == "reflect")
        up = pad + 9 + n_blocks  # index of the first layer that grows the picture
        grow = int(upsample != "deconv" and resized == "zeros")  # resizing as a layer of its own
        last = up + 2 * (grow + 3) + pad
        self.model = Sequential(
            {
                pad: ConvNormRelu(in_channels, ngf, 7, padding=3, padding_mode=ends),
                pad + 3: ConvNormRelu(ngf, 2 * ngf, 3, stride=2, padding=1),
                pad + 6: ConvNormRelu(2 * ngf, 4 * ngf, 3, stride=2, padding=1),
                **{pad + 9 + i: ResnetBlock(4 * ngf, checkpointing, blocks) for i in range(n_blocks)},
                up + grow: growing(4 * ngf, 2 * ngf, upsample, resized),
                up + 2 * grow + 3: growing(2 * ngf, ngf, upsample, resized),
                last: Conv2d(ngf, out_channels, 7, padding=3, padding_mode=ends),
                last + 1: Tanh(),
            }
        )
        self.finish(device, seed, init_type, init_gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def growing(in_channels: int, out_channels: int, upsample: str, padding_mode: str = "reflect") -> Module:
    """The layer that doubles a picture's sides."""
    if upsample == "deconv":
        return ConvTransposeNormRelu(in_channels, out_channels, 3, output_padding=1)
    if upsample in ("nearest", "bilinear"):
        return ResizeConvNormRelu(in_channels, out_channels, upsample, padding_mode)
    raise ValueError(f"unknown upsample {upsample!r}; wanted deconv, nearest or bilinear")
