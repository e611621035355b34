"""What no run can use: each value by itself, and values that do not go together."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from train.config import KINDS, Size, sides
from train.errors import UserError

if TYPE_CHECKING:
    from train.config.settings import Config

AUGMENTATIONS = ("color", "translation", "cutout")
"""What --diffaugment may name; train/models/diffaugment.py has them."""


def check(config: Config) -> None:
    """UserError for values that no run can use."""
    for name, field in config.options().items():
        if why := wanted(field, value := getattr(config, name)):
            raise UserError(f"--{name} is {value if isinstance(value, int | float) else repr(value)}; {why}")
    if not 0 <= config.beta1 < 1:
        raise UserError(f"--beta1 is {config.beta1}; wanted a number from 0 up to, not including, 1")
    if config.ema >= 1:
        raise UserError(f"--ema is {config.ema}; wanted a number from 0 up to, not including, 1, such as 0.999")
    if config.sup_frac > 1:
        raise UserError(f"--sup_frac is {config.sup_frac}; wanted a share from 0 to 1")
    if config.lr_D and not config.lr:
        raise UserError(f"--lr_D {config.lr_D} keeps its ratio to --lr, which is 0; give --lr a value too")
    if config.n_critic > 1 and not config.lambda_GAN:
        raise UserError(f"--n_critic {config.n_critic}: with --lambda_GAN 0 there are no discriminators; leave it out")
    if config.tensorboard and config.track not in ("none", "tensorboard"):
        raise UserError(f"--tensorboard and --track {config.track}: choose one of them")
    check_augmentation(config)
    if config.checkpointing and config.netG != "resnet":
        raise UserError(f"--checkpointing is for the blocks of --netG resnet; --netG {config.netG} has none")
    if config.epochs < 1:
        raise UserError(
            f"--epoch_count {config.epoch_count} lies beyond the last epoch, {config.n_epochs + config.n_epochs_decay}; "
            "raise --n_epochs or lower --epoch_count"
        )
    check_sizes(config)
    if config.white_level > 65535:
        raise UserError(f"--white_level is {config.white_level}; 16 bits hold values up to 65535")
    if config.lambda_identity > 0 and config.input_nc != config.output_nc:
        raise UserError(
            f"the identity loss shows each generator its own target domain, but domain A has {config.input_nc} "
            f"channels and domain B {config.output_nc}; add --lambda_identity 0"
        )


def check_augmentation(config: Config) -> None:
    """UserError for a policy that is none, or that goes with nothing."""
    unknown = [name for name in config.diffaugment.split(",") if name not in AUGMENTATIONS]
    if config.diffaugment and unknown:
        raise UserError(
            f"--diffaugment: there is no {unknown[0]!r}; name some of {','.join(AUGMENTATIONS)}, with commas"
        )
    if config.diffaugment and config.gan_mode == "wgangp":
        raise UserError("--diffaugment is not for --gan_mode wgangp, whose penalty looks at pictures as they are")


def wanted(field: dataclasses.Field[Any], value: Any) -> str:
    """What a setting should be, where `value` is nothing that it can be; else ""."""
    least, choices = field.metadata["least"], field.metadata["choices"]
    if isinstance(value, float) and not math.isfinite(value):
        return "wanted a finite number"
    kind = KINDS.get(str(field.type), object)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return f"wanted such as {field.default!r}"
    if kind == Size:
        try:
            sides(value)
        except ValueError:
            return "wanted a side in pixels such as 256, or WIDTHxHEIGHT such as 320x192"
    if choices and value not in choices:
        return f"wanted one of {', '.join(choices)}"
    return f"wanted at least {least}" if least is not None and not value >= least else ""


def check_sizes(config: Config) -> None:
    """UserError if the crop does not fit into what images are resized to."""
    (wide, high), crop = sides(config.load_size), sides(config.crop_size)
    if config.preprocess.startswith("scale_width") and "x" in str(config.load_size):
        raise UserError(
            f"--load_size {config.load_size} names two sides, but --preprocess {config.preprocess} keeps the shape of "
            f"images and takes a width: --load_size {wide}"
        )
    if config.preprocess == "scale_width_and_crop":
        high = max(high, crop[1])  # images are made as high as that
    if config.preprocess in ("resize_and_crop", "scale_width_and_crop") and (crop[0] > wide or crop[1] > high):
        raise UserError(
            f"--crop_size {config.crop_size} is larger than --load_size {config.load_size}; make it at most as large"
        )
