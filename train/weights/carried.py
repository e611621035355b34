"""What a new run takes over from weights that are there: `--from`, and `train.convert --run`.

A run of the same system hands on all its networks, and the settings that they were made with. Of other files a system of plain
generators takes the networks that it has too, and what their keys and shapes tell; which there are, PLACES says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from train.config.parser import typed
from train.errors import UserError, shown
from train.files import checkpoint
from train.files.runs import run_or_file
from train.models.cyclegan import CycleGAN
from train.models.model import Model
from train.models.pix2pix import Pix2Pix
from train.models.registry import loaded
from train.weights.architecture import Architecture
from train.weights.formats import load
from train.weights.layers import State

Places = Mapping[str, tuple[str, ...]]
PLACES: dict[str, Places] = {
    CycleGAN.program: {
        "gen_ab": ("input_nc", "output_nc"), "gen_ba": ("output_nc", "input_nc"), "disc_a": ("input_nc",), "disc_b": ("output_nc",),
    },
    Pix2Pix.program: {"gen": ("input_nc", "output_nc"), "disc": ()},  # which sees both domains
}  # fmt: skip
"""The networks of a system, and whose channels go into each and come out."""
ALSO_CALLED = {Pix2Pix.program: {"generator": "gen", "gen_ab": "gen", "discriminator": "disc"}}
"""Names in files (train/weights/names.py) of which a system has one of its own."""


class Carried(NamedTuple):
    """Networks for a new run: their weights by its names, the settings that follow from them, and what is left out."""

    states: dict[str, State]
    settings: dict[str, Any]
    left_out: list[str]


def carried(source: str, parent: Path, system: type[Model], upsample: str = "") -> Carried:
    """What `--from source` brings: a run by its name in `parent`, its folder or a checkpoint, or a file of weights.

    upsample  what was typed, for a file that does not tell how its generator resizes
    """
    path = run_or_file(source, parent)
    file = path / "latest.npz" if path.is_dir() else path
    state = checkpoint.load(file) if file.suffix == ".npz" and file.is_file() else {}
    if "config" in state:
        return _of_run(file, state, system)
    if system.program not in PLACES:
        raise UserError(
            f"--from {shown(source)}: {typed(system.program)} begins with a run of its own, for no other file has its networks; "
            "wanted such a run's name, folder or checkpoint"
        )
    places, also = PLACES[system.program], ALSO_CALLED.get(system.program, {})
    found = load(path, upsample if upsample in ("nearest", "bilinear") else "")
    called = {also.get(name, name): name for name in found}
    fitting = {name: found[called[name]] for name in places if name in called}
    left_out = [theirs for name, theirs in called.items() if name not in places]
    settings = inferred({name: w.architecture() for name, w in fitting.items()}, left_out, "--from", places)
    return Carried({name: w.network().state_dict() for name, w in fitting.items()}, settings, left_out)


def _of_run(file: Path, state: Mapping[str, Any], system: type[Model]) -> Carried:
    """All networks of a run of the system."""
    program = str(state.get("program", CycleGAN.program))
    if program != system.program:
        raise UserError(
            f"--from {shown(file)}: a run of {program}, whose networks {typed(system.program)} has not; wanted one of its own runs, or "
            f"begin with {typed(program)}"
        )
    config, model = loaded(file, state, {"device": "cpu", "precision": "fp32"}, system)
    settings = {name: getattr(config, name) for name in sorted(system.settings.of_networks())}
    return Carried({name: network.state_dict() for name, network in model.networks().items()}, settings, [])


def take_over(model: Model, states: Mapping[str, State]) -> list[str]:
    """Give a model the networks that there are; those of which there are none, by name."""
    for name, network in model.networks().items():
        if name in states:
            network.load_state_dict(states[name])
    return [name for name in model.networks() if name not in states]


def agreed(
    settings: Mapping[str, Any], of_weights: Mapping[str, Any], asked: Collection[str], option: str
) -> dict[str, Any]:
    """Settings in which those that the weights decide are theirs. UserError with all that were asked for otherwise.

    asked   names of the settings that were typed, or stand in a file
    option  the option that brought the weights
    """
    contrary = [name for name in of_weights if name in asked and settings[name] != of_weights[name]]
    if contrary:
        values = ", ".join(
            f"--{name} {settings[name]} was asked for, the weights have {of_weights[name]}" for name in contrary
        )
        raise UserError(
            f"{option}: {values}. Leave out {', '.join(f'--{name}' for name in contrary)}, for the weights decide; or begin without them"
        )
    return {**settings, **of_weights}


def inferred(
    found: dict[str, Architecture],
    unused: Sequence[str] = (),
    option: str = "--run",
    places: Places = PLACES[CycleGAN.program],
) -> dict[str, Any]:
    """The settings of a run that follow from its networks; UserError where a run cannot have them.

    unused  networks whose direction nothing tells
    option  the option that brought them
    """
    settings: dict[str, Any] = {}
    if not any(name.startswith("gen") for name in found):
        wanted = (
            "a generator whose direction is known, from a file called …_net_G_A.pth or …_net_G_B.pth, or A2B or B2A"
            if "gen_ab" in places
            else "a generator"
        )
        raise UserError(f"{option} needs {wanted}; seen: {shown(', '.join([*found, *unused]), 200)}")

    def agree(name: str, key: str, value: Any) -> None:
        if settings.setdefault(key, value) != value:
            raise UserError(f"{option}: the networks disagree: {name} wants {key} {value}, another {settings[key]}")

    for name, a in found.items():
        for word, there in (
            ("norms that scale and shift", a.affine),
            ("zero padding where runs mirror", "zero_padded" in a.settings),
            ("strides that a run's discriminator does not have", a.kind == "strided"),
        ):
            if there:
                raise UserError(f"{option}: {name} has {word}, which a run does not train; {_without(name)}")
        s = a.settings
        for key, channels in zip(places[name], ("in_channels", "out_channels"), strict=False):
            agree(name, key, s[channels])
        if a.is_generator:
            agree(name, "ngf", s["ngf"])
            if a.kind == "resnet":
                agree(name, "netG", "resnet")
                agree(name, "n_blocks", s["n_blocks"])
                agree(name, "upsample", s["upsample"])
            elif s["num_downs"] in (6, 7, 8):
                agree(name, "netG", f"unet_{2 ** s['num_downs']}")
            else:
                raise UserError(
                    f"{option}: {name} is a U-Net of {s['num_downs']} levels; a run has 6 (unet_64), 7 (unet_128) or 8 (unet_256)"
                )
        else:
            agree(name, "ndf", s["ndf"])
            agree(name, "netD", "pixel" if a.kind == "pixel" else "basic" if s["n_layers"] == 3 else "n_layers")
            if settings["netD"] == "n_layers":
                agree(name, "n_layers_D", s["n_layers"])
    if (
        "disc" in found
        and (seen := found["disc"].settings["in_channels"]) != settings["input_nc"] + settings["output_nc"]
    ):
        raise UserError(
            f"{option}: the discriminator takes {seen} channels, where both domains have {settings['input_nc']} + {settings['output_nc']}; "
            f"{_without('disc')}"
        )
    return settings


def _without(name: str) -> str:
    return "translate with it as it is" if name.startswith("gen") else "leave its file out, and it starts afresh"
