"""The networks and the image pools that a run's settings ask for."""

from __future__ import annotations

from typing import Any

from kernels.device import Device
from nn import PatchDiscriminator, PixelDiscriminator, ResnetGenerator
from nn.network import Network
from train.config.settings import Config
from train.models.image_pool import ImagePool


def generator(config: Config, in_channels: int, out_channels: int, seed: int, dropout: float = 0.0) -> Network:
    """The generator that `config` asks for; `seed` tells the four networks of a model apart. Only a U-Net drops."""
    common: dict[str, Any] = dict(
        in_channels=in_channels, out_channels=out_channels, ngf=config.ngf, device=config.device,
        seed=network_seed(config, seed), init_type=config.init_type, init_gain=config.init_gain,
    )  # fmt: skip
    if config.netG == "resnet":
        return ResnetGenerator(
            n_blocks=config.n_blocks, upsample=config.upsample, checkpointing=config.checkpointing, **common
        )
    from nn import UnetGenerator  # not before: most runs have none

    downs = {"unet_64": 6, "unet_128": 7, "unet_256": 8}[config.netG]
    return UnetGenerator(num_downs=downs, dropout=dropout, **common)


def discriminator(config: Config, in_channels: int, seed: int) -> Network:
    """The discriminator that `config` asks for."""
    common: dict[str, Any] = dict(
        in_channels=in_channels, ndf=config.ndf, device=config.device, seed=network_seed(config, seed),
        init_type=config.init_type, init_gain=config.init_gain,
    )  # fmt: skip
    if config.netD == "pixel":
        return PixelDiscriminator(**common)
    return PatchDiscriminator(n_layers=config.n_layers_D if config.netD == "n_layers" else 3, **common)


def network_seed(config: Config, number: int) -> int:
    """A seed of its own for each of the four networks."""
    return 4 * config.seed + number


def image_pool(size: int, seed: list[int], device: Device) -> ImagePool:
    """The pool for a device."""
    from train.models.device_pool import DevicePool

    return DevicePool(size, seed, device)
