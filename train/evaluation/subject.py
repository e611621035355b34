"""What is evaluated: a run of ours, in the state that was asked for, or weights from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from nn.network import Network
from train.config.settings import Config, resolve
from train.errors import UserError, shown
from train.files import checkpoint
from train.files.runs import find_run
from train.models.registry import loaded
from train.weights import formats as weights
from train.weights.generators import generators


@dataclass
class Subject:
    """A model (what it has: `directions`, `translate`), the settings of its data, and where its results go."""

    model: Any
    config: Config
    name: str
    output: Path
    about: dict[str, Any]
    cache: Path | None = None  # for the classifier behind the domain distance


class Generators:
    """Loose generators, by direction, as a model that translates."""

    def __init__(self, networks: Mapping[str, Network]) -> None:
        self.networks, self.directions = networks, tuple(sorted(networks))

    @no_grad()
    def translate(self, pictures: np.ndarray, direction: str = "AtoB") -> np.ndarray:
        network = self.networks[direction]
        made = network(Tensor(network.device.asarray(pictures), device=network.device))
        return made.numpy().astype(np.float32, copy=False)


def from_run(name: str, parent: Path, epoch: str, changes: Mapping[str, Any], option: str = "--name") -> Subject:
    """The run of that name in `parent`, or at that path, as it was saved at `epoch` ("latest", "best" or a number), on the data of its settings with
    `changes`. UserError where there is none."""
    called = find_run(name, parent, option)
    state = f"epoch_{int(epoch):03}" if epoch.isdecimal() else epoch
    if called.state and epoch == "latest":
        state, epoch = called.state, called.state.removeprefix("epoch_")
    elif called.state and called.state != state:
        raise UserError(f"{option} {name} and --epoch {epoch}: give one of them")
    file = called.folder / f"{state}.npz"
    if not file.exists():
        kept = ", ".join(sorted(p.stem.removeprefix("epoch_") for p in file.parent.glob("*.npz") if _is_state(p)))
        raise UserError(f"--epoch {epoch}: there is no {shown(file)}; this run has kept {kept}")
    state = checkpoint.load(file)
    config, model = loaded(file, state, changes)
    about = {"step": state["run"]["step"], "weights": str(file)}
    cache = file.parent / "domain_classifier.npz"
    return Subject(model, config, f"{file.parent.name}, {file.stem}", file.parent / f"evaluation_{epoch}", about, cache)


def _is_state(path: Path) -> bool:
    return path.stem in ("latest", "best") or path.stem.startswith("epoch_")


def from_weights(file: Path, changes: Mapping[str, Any], upsample: str = "", network: str = "") -> Subject:
    """The generators in a file or folder of weights, on the data that `changes` name; the rest as train/weights/generators.py
    has it."""
    if not changes.get("dataroot"):
        raise UserError(f"--weights {shown(file)}: on which images? Name their folder with --dataroot")
    found = generators(weights.load(file, upsample), file, network=network)
    config = resolve(Config(**{**settings_of(found), **changes}))
    config.check()
    networks = {direction: w.network(config.device) for direction, w in found.items()}
    about = {"weights": str(file), "notes": [note for w in found.values() for note in w.architecture().notes]}
    return Subject(Generators(networks), config, str(file), Path("results") / file.stem, about)


def settings_of(found: Mapping[str, weights.Weights]) -> dict[str, Any]:
    """What generators, by direction, say of the pictures that they take: channels, and sides for the kind of network."""
    direction, first = next(iter(found.items()))
    own = first.architecture()
    channels = (own.settings["in_channels"], own.settings["out_channels"])[:: 1 if direction == "AtoB" else -1]
    netG = f"unet_{2 ** own.settings['num_downs']}" if own.kind == "unet" else "resnet"
    if netG not in Config.options()["netG"].metadata["choices"]:  # a U-Net of other depth: the network itself will say
        netG = "resnet"
    white = first.trained.get("white_level")
    return {
        "input_nc": channels[0], "output_nc": channels[1], "netG": netG, "netD": "pixel",  # no discriminator asks for more
        "lambda_identity": 0.0,
    } | ({"white_level": white} if isinstance(white, int) else {})  # fmt: skip
