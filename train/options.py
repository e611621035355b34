"""The command line of a run: options generated from Config, and what they may hold."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import sys
import typing
from collections.abc import Sequence
from typing import Any, NoReturn

from train.config import PRESETS, Config
from train.errors import UserError

FIELD = {
    "--gpu_ids": "choose with --device cpu or --device cuda",
    "--model": "leave it out: this command is CycleGAN",
    "--dataset_mode": "leave it out: images are unaligned, unless --serial_batches pairs them",
    "--norm": "leave it out: the norm is instance norm",
    "--no_dropout": "leave it out: there is no dropout here",
    "--display_id": "leave it out: the run writes report.html, no server needed",
}
"""Options of the field's best-known code that have no counterpart here, and what to do instead."""


def parse(arguments: Sequence[str] | None, program: str, description: str | None) -> tuple[dict[str, Any], bool]:
    """The settings given on the command line, and whether to continue an earlier run.

    Only options that were typed (or set by `--preset`) are in the dict. Raises UserError for a wrong option or value.
    """
    parser = _Parser(
        prog=f"python -m {program}",
        usage="%(prog)s [options]",
        description=(description or "").split("\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--preset", choices=tuple(PRESETS), help="named settings, on top of which other options go (default: tiny "
        "without --dataroot, else paper). paper: the defaults below. tiny, for a laptop's CPU and the built-in scenes: "
        + " ".join(f"--{name} {value}" for name, value in PRESETS["tiny"].items())
    )  # fmt: skip
    parser.add_argument(
        "--continue_train", action="store_true", help="go on with the run --name where it stopped, under its settings"
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    types = typing.get_type_hints(Config)
    for field in dataclasses.fields(Config):
        meta = field.metadata
        group = groups.setdefault(meta["group"], parser.add_argument_group(meta["group"]))
        options: dict[str, Any] = {"default": argparse.SUPPRESS}
        if types[field.name] is bool:
            options |= {"action": "store_true", "help": meta["help"] + " (default: off)"}
        else:
            shown = "" if field.default == "" else f" (default: {field.default})"
            options |= {"type": types[field.name], "help": meta["help"] + shown}
            options |= (
                {"choices": meta["choices"]} if meta["choices"] else {"metavar": types[field.name].__name__.upper()}
            )
        group.add_argument(f"--{field.name}", **options)
    given = vars(parser.parse_args(_spelled_out(list(sys.argv[1:] if arguments is None else arguments))))
    preset, go_on = given.pop("preset"), given.pop("continue_train")
    if preset is None and not go_on:
        preset = "paper" if given.get("dataroot") else "tiny"
    settings = {**(PRESETS[preset] if preset else {}), **given}
    if not go_on:  # else they are checked together with the saved ones
        check(settings)
    return settings, go_on


def check(settings: dict[str, Any]) -> None:
    """UserError for values that no run can use."""
    c = Config(**settings)
    wanted = {
        "at least 1": ("batch_size", "input_nc", "output_nc", "ngf", "ndf", "load_size", "crop_size", "n_layers_D",
                       "epoch_count", "lr_decay_iters", "print_freq", "sample_freq", "save_latest_freq"),
        "at least 0": ("n_blocks", "pool_size", "n_epochs", "n_epochs_decay", "max_steps", "max_dataset_size", "seed",
                       "num_threads", "save_epoch_freq", "lambda_A", "lambda_B", "lambda_identity", "lr"),
    }  # fmt: skip
    for bound, names in wanted.items():
        for name in names:
            if not getattr(c, name) >= int(bound[-1]):
                raise UserError(f"--{name} is {getattr(c, name)}; wanted {bound}")
    if not 0 <= c.beta1 < 1:
        raise UserError(f"--beta1 is {c.beta1}; wanted a number from 0 up to, not including, 1")
    if c.epochs < 1:
        raise UserError(
            f"--epoch_count {c.epoch_count} lies beyond the last epoch, {c.n_epochs + c.n_epochs_decay}; "
            "raise --n_epochs or lower --epoch_count"
        )
    if c.preprocess in ("resize_and_crop", "scale_width_and_crop") and c.crop_size > c.load_size:
        raise UserError(f"--crop_size {c.crop_size} is larger than --load_size {c.load_size}; make it at most as large")
    if c.lambda_identity > 0 and c.input_nc != c.output_nc:
        raise UserError(
            f"the identity loss shows each generator its own target domain, but domain A has {c.input_nc} channels and "
            f"domain B {c.output_nc}; add --lambda_identity 0"
        )


def misfit(config: Config, width: int, height: int) -> str:
    """Why the networks cannot take pictures of this size, in words; "" if they can."""
    step = {"resnet": 4, "unet_128": 128, "unet_256": 256}[config.netG]  # the generator halves and doubles
    if width % step or height % step:
        return f"--netG {config.netG} wants sides that are multiples of {step}"
    layers = {"basic": 3, "n_layers": config.n_layers_D, "pixel": 0}[config.netD]
    least = max(8, 3 * 2**layers if layers else 0)  # 3x3 scores before the two unstrided 4x4 convolutions
    if min(width, height) < least:
        return f"--netG {config.netG} with --netD {config.netD} wants sides of at least {least}"
    return ""


def _spelled_out(arguments: list[str]) -> list[str]:
    """`--netG resnet_9blocks`, as the field's users type it, in our two options."""
    spelled: list[str] = []
    for word in arguments:
        before, _, kind = word.rpartition("=")
        if kind in ("resnet_6blocks", "resnet_9blocks") and "--netG" in (before, *spelled[-1:]):
            spelled += [*filter(None, [before]), "resnet", "--n_blocks", kind[7]]
        else:
            spelled.append(word)
    return spelled


class _Parser(argparse.ArgumentParser):
    """argparse that raises UserError and knows the nearest name of a mistyped option."""

    def error(self, message: str) -> NoReturn:
        known = [name for action in self._actions for name in action.option_strings]
        if message.startswith("unrecognized arguments:"):
            word = message.split()[2].split("=")[0]
            near = difflib.get_close_matches(word, known, 1) if word.startswith("-") else [f"--dataroot {word}"]
            hint = FIELD.get(word) or (f"did you mean {near[0]}?" if near else "")
            message = f"there is no option {word}{'; ' if hint else ''}{hint} (--help lists all)"
        raise UserError(message)
