"""Layers that hold parameters, and CycleGAN's networks built from them."""

from nn.optim import SGD, Adam
from nn.patch_discriminator import PatchDiscriminator, PixelDiscriminator
from nn.resnet_generator import ResnetGenerator
from nn.unet_generator import UnetGenerator

__all__ = ["SGD", "Adam", "PatchDiscriminator", "PixelDiscriminator", "ResnetGenerator", "UnetGenerator"]
