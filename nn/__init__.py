"""Layers that hold parameters, and CycleGAN's networks built from them."""

from typing import TYPE_CHECKING, Any

from nn.optim import SGD, Adam
from nn.patch_discriminator import PatchDiscriminator, PixelDiscriminator
from nn.resnet_generator import ResnetGenerator

if TYPE_CHECKING:
    from nn.unet_generator import UnetGenerator

__all__ = ["SGD", "Adam", "PatchDiscriminator", "PixelDiscriminator", "ResnetGenerator", "UnetGenerator"]


def __getattr__(name: str) -> Any:
    """What few programs need is loaded when it is used first."""
    if name == "UnetGenerator":
        from nn.unet_generator import UnetGenerator

        return UnetGenerator
    raise AttributeError(f"module 'nn' has no attribute {name!r}")
