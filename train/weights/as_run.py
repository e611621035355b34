"""Networks from elsewhere as a run of train.cyclegan, which `--continue_train` trains on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from train.config import options
from train.config.parser import typed
from train.config.settings import Config
from train.errors import UserError, shown
from train.files import checkpoint
from train.files.claim import Claim
from train.files.folder_names import names_a_folder
from train.models.cyclegan import CycleGAN
from train.models.model import Model
from train.models.registry import elsewhere
from train.weights.architecture import Architecture
from train.weights.formats import Weights, load
from train.weights.names import FIELD_NAMES

UNLIKE = (
    "of the reference implementation's options, some mean something else here: --save_latest_freq and --print_freq count steps, "
    "--lr_policy cosine falls once over all epochs, --gan_mode wgangp adds its penalty; optimisers begin anew (docs/coming_from.md)"
)
"""Said to whom brings its weights to be trained on."""


def make_run(found: dict[str, Weights], name: str, arguments: Sequence[str], source: Path) -> Path:
    """A run folder that `--continue_train` trains on from step 0, with fresh optimisers; returns its checkpoint.

    Its settings are those that were typed; else those of the run that `source` is, if it is one; else the paper's.
    """
    if not names_a_folder(name):
        raise UserError(f"--run {name!r} must name one folder, without slashes; --checkpoints_dir says where it lies")
    unused = [key for key in found if key not in FIELD_NAMES]
    found = {key: w for key, w in found.items() if key in FIELD_NAMES}
    architectures = {key: w.architecture() for key, w in found.items()}
    kept = settings_of(source)
    given, _ = options.parse(
        [*([] if kept else ["--preset", "paper"]), *arguments, f"--name={name}"],
        "train.convert",
        None,
        elsewhere=elsewhere,
        under=kept,
    )
    settings = {**given, **inferred(architectures, unused)}
    config = Config(**settings)
    config.check()
    with Claim() as claim:
        path = claim.take(Path(config.checkpoints_dir) / name, mend="choose another --run") / "latest.npz"
        if path.exists():
            raise UserError(f"{path.parent} already holds a run; choose another --run")
        model = CycleGAN(config.replace(device="cpu"))
        fresh = take_over(model, found)
        checkpoint.save(
            path, {"program": CycleGAN.program, "config": config.as_dict(), "run": {}, "model": model.state_dict()}
        )
    if unused:
        print(f"left out, because no name tells what they do in a run: {', '.join(unused)}")
    print(f"{path}  {', '.join(found)}" + (f"; fresh, because not given: {', '.join(fresh)}" if fresh else ""))
    if kept:
        now = config.as_dict()
        same = [
            f"--{key} {now[key]}" for key, value in kept.items() if value == now[key] != Config.options()[key].default
        ]
        print(f"as in {source}: {' '.join(same) or 'all settings'} (type others to change them)")
    else:
        print(UNLIKE)
    data = "" if config.dataroot or kept else " --dataroot DIR"
    print(f"train on with: {typed('train.cyclegan')} --continue_train --name {shlex.quote(name)}{data}")
    return path


def take_over(model: Model, found: Mapping[str, Weights]) -> list[str]:
    """Give a model the networks that there are; those of which there are none, by name."""
    for key, network in model.networks().items():
        if key in found:
            network.load_state_dict(found[key].network().state_dict())
    return [key for key in model.networks() if key not in found]


def networks_of(source: str, parent: Path) -> dict[str, Weights]:
    """The networks of a run, by its name, folder or checkpoint, or of any file that train.convert reads."""
    named = parent / source
    return {
        key: w
        for key, w in load(named if named.is_dir() and not Path(source).exists() else Path(source)).items()
        if key in FIELD_NAMES
    }


def settings_of(source: Path) -> dict[str, Any]:
    """The settings of the run of train.cyclegan whose folder or checkpoint `source` is; none where it is something else."""
    file = source / "latest.npz" if source.is_dir() else source
    if file.suffix != ".npz" or not file.exists():
        return {}
    state = checkpoint.load(file)
    if state.get("program", CycleGAN.program) != CycleGAN.program:
        return {}
    lasting = Config.options().keys() - {"name", "checkpoints_dir"}
    return {name: value for name, value in state.get("config", {}).items() if name in lasting}


def inferred(found: dict[str, Architecture], unused: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a run that follow from its networks; UserError where a run cannot have them.

    unused  networks whose direction nothing tells
    """
    settings: dict[str, Any] = {}
    if not found.keys() & {"gen_ab", "gen_ba"}:
        raise UserError(
            f"--run needs a generator whose direction is known, from a file called …_net_G_A.pth or …_net_G_B.pth, or A2B or B2A; "
            f"seen: {shown(', '.join([*found, *unused]), 200)}"
        )

    def agree(name: str, key: str, value: Any) -> None:
        if settings.setdefault(key, value) != value:
            raise UserError(f"--run: the networks disagree: {name} wants {key} {value}, another {settings[key]}")

    for name, a in found.items():
        for word, there in (
            ("norms that scale and shift", a.affine),
            ("zero padding where runs mirror", "zero_padded" in a.settings),
            ("strides that a run's discriminator does not have", a.kind == "strided"),
        ):
            if there:
                raise UserError(f"--run: {name} has {word}, which a run does not train; {_without(name)}")
        s = a.settings
        domain_in = "input_nc" if name in ("gen_ab", "disc_a") else "output_nc"
        agree(name, domain_in, s["in_channels"])
        if a.is_generator:
            agree(name, "output_nc" if domain_in == "input_nc" else "input_nc", s["out_channels"])
            agree(name, "ngf", s["ngf"])
            if a.kind == "resnet":
                agree(name, "netG", "resnet")
                agree(name, "n_blocks", s["n_blocks"])
                agree(name, "upsample", s["upsample"])
            elif s["num_downs"] in (7, 8):
                agree(name, "netG", f"unet_{2 ** s['num_downs']}")
            else:
                raise UserError(
                    f"--run: {name} is a U-Net of {s['num_downs']} levels; a run has 7 (unet_128) or 8 (unet_256)"
                )
        else:
            agree(name, "ndf", s["ndf"])
            agree(name, "netD", "pixel" if a.kind == "pixel" else "basic" if s["n_layers"] == 3 else "n_layers")
            if settings["netD"] == "n_layers":
                agree(name, "n_layers_D", s["n_layers"])
    return settings


def _without(name: str) -> str:
    return "translate with it as it is" if name.startswith("gen_") else "leave its file out, and it starts afresh"
