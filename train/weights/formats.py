"""Weights in files: whatever format they are in, networks by name; and back.

    run folder, .npz    our checkpoint (train/files/checkpoint.py), or one that holds networks only
    .pth .pt            PyTorch (train/weights/torch_files.py): one network, or several in nested dicts
    folder of .pth      the field's run: latest_net_G_A.pth and so on
    .safetensors        one network under its plain keys, or several as "gen_ab.model.1.weight"

Names are ours: gen_ab, gen_ba, disc_a, disc_b. The field's D_A judges domain B, so it is disc_b here. A lone network that
its file does not name is "generator" or "discriminator".
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nn.network import Network
from train.errors import UserError, shown
from train.files import checkpoint
from train.files.atomic import write_bytes
from train.files.bounded import check_text, open_file, read_json
from train.files.state import check_state
from train.models.registry import SYSTEMS
from train.weights import torch_files
from train.weights.architecture import Architecture, architecture_of, describe, network_from

FIELD_NAMES = {"gen_ab": "G_A", "gen_ba": "G_B", "disc_b": "D_A", "disc_a": "D_B"}
LONE_NAMES = {"gen": "G", "generator": "G", "disc": "D", "discriminator": "D"}  # pix2pix's, or a file's only one
OUR_NAMES = {theirs: ours for ours, theirs in FIELD_NAMES.items()}
TORCH = (".pth", ".pt", ".bin", ".ckpt")
FORMATS = (*TORCH, ".safetensors", ".npz")
ABOUT = "palindrome"  # the key under which a safetensors file of ours says what it holds


class WholeRun(UserError):
    """The checkpoint of a run that only its system can translate with: `file`, and the `state` in it."""

    def __init__(self, file: Path, state: Mapping[str, Any]) -> None:
        self.file, self.state = file, state
        name = shlex.quote(str(state.get("config", {}).get("name", "NAME")))
        takes = "codes" if hasattr(SYSTEMS[state["program"]], "codes") else "more than a picture"
        super().__init__(
            f"{file}: a run of {state['program']}, whose generators take {takes}; no other file format and no other "
            f"program has such networks. See what it does by python -m train.evaluate --name {name} or python -m train.probe --name "
            f"{name}, and translate by python -m train.translate"
        )


@dataclass(frozen=True)
class Weights:
    """One network's state_dict, not yet a network."""

    name: str
    source: Path
    state: Mapping[str, np.ndarray]
    upsample: str = "nearest"  # what a resizing generator resizes with, which no shape tells

    def architecture(self) -> Architecture:
        """Which network it is; UserError naming the file if it is none of ours."""
        return self._told(lambda: architecture_of(self.state, self.upsample)[0])

    def network(self, device: str = "cpu") -> Network:
        """The network, loaded; UserError naming the file if it is none of ours."""
        return self._told(lambda: network_from(self.state, device, self.upsample))

    def _told(self, make: Any) -> Any:
        try:
            return make()
        except ValueError as error:
            own = (
                ". If a system of your own made it, --system MODULE lets that translate"
                if self.source.suffix == ".npz"
                else ""
            )
            raise UserError(f"{shown(self.source)}, network {shown(self.name)}: {shown(error, 300)}{own}") from error


def load(path: str | Path, upsample: str = "") -> dict[str, Weights]:
    """The networks of a file or folder by name. UserError says what is wrong with it, WholeRun that it takes its system to translate.

    upsample  "nearest" or "bilinear", for a foreign generator that resizes; files of ours say it themselves
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder of weights")
    if path.is_dir():
        found = _folder(path)
    elif path.suffix == ".npz":
        found = _ours(path)
    elif path.suffix == ".safetensors":
        found = _safetensors(path)
    elif path.suffix in TORCH:
        found = _torch(path)
    else:
        raise UserError(f"{path}: unknown kind of weights; wanted a run's folder or a file {' '.join(FORMATS)}")
    if not found:
        raise UserError(f"{path}: holds no network")
    for name in found:
        if not re.fullmatch(
            r"\w[\w.-]{0,99}", name
        ):  # it becomes the name of a file, in which ".." would lead elsewhere
            raise UserError(f"{shown(path)}: a network called {shown(name, 100)!r}; wanted letters, digits, . and -")
    if upsample:
        found = {name: Weights(name, w.source, w.state, upsample) for name, w in found.items()}
    return found


def save(path: Path, networks: Mapping[str, Network]) -> None:
    """Write networks as `.npz` or `.safetensors`, or a single one as `.pth`."""
    about = {name: describe(network) for name, network in networks.items()}
    text = {name: {"kind": a.kind, **a.settings} for name, a in about.items()}
    if path.suffix == ".npz":
        states = {name: network.state_dict() for name, network in networks.items()}
        checkpoint.save(path, {"networks": states, "about": text})
        return
    single = len(networks) == 1
    state = {
        key if single else f"{name}.{key}": np.ascontiguousarray(value, np.float32)
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    if path.suffix == ".safetensors":
        write_bytes(path, safetensors().save(state, {"format": "pt", ABOUT: json.dumps(text)}))
    else:
        assert single, "a .pth holds one network"
        torch_files.write(path, state, text)


def safetensors() -> ModuleType:
    """The library, or an error that says how to get it."""
    try:
        return importlib.import_module("safetensors.numpy")
    except ImportError as error:
        raise UserError('safetensors is not installed: pip install -e ".[exchange]"') from error


def _folder(path: Path) -> dict[str, Weights]:
    if (path / "latest.npz").exists():
        return _ours(path / "latest.npz")
    found: dict[str, Weights] = {}
    for file in sorted(path.glob("latest_net_*.pth")):
        found |= _torch(file)
    if not found:
        raise UserError(
            f"{path}: holds neither latest.npz (a run of this program) nor latest_net_G_A.pth and the like (the field's); "
            "give the folder of one run, or one file"
        )
    return found


def _ours(path: Path) -> dict[str, Weights]:
    state = checkpoint.load(path)
    check_state(path, state)
    try:
        system = SYSTEMS.get(str(state.get("program")))
        if system is not None and not system.plain_generators:
            raise WholeRun(path, state)
        modes, run_mode = _modes(path, state.get("about", {})), state.get("config", {}).get("upsample", "")
        states = state["networks"] if "networks" in state else state["model"]["networks"]
        return {name: Weights(name, path, values, _mode(modes.get(name, run_mode))) for name, values in states.items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{shown(path)}: a checkpoint, but without networks ({type(error).__name__}: {shown(error, 300)})"
        ) from error


def _torch(path: Path) -> dict[str, Weights]:
    tree, about = torch_files.read(path)
    states, modes = _states(tree, ""), _modes(path, about)
    if not states:
        kind = type(tree).__name__
        raise UserError(f"{shown(path)}: holds no weights (a {kind}); wanted torch.save(network.state_dict(), file)")
    if len(states) == 1:
        ((place, state),) = states.items()
        told = next(iter(modes), "")
        name = _name(path, place, state, told)
        return {name: Weights(name, path, state, _mode(modes.get(told)))}
    return {name: Weights(name, path, state) for name, state in states.items()}


def _modes(path: Path, about: Any) -> dict[str, Any]:
    """How each network's generator resizes, by the words of a file of ours. UserError for other words."""
    if not isinstance(about, dict) or not all(isinstance(words, dict) for words in about.values()):
        raise UserError(f"{shown(path)}: what it says of its networks is not in this program's words; export it again")
    return {name: words.get("upsample") for name, words in about.items()}


def _states(tree: Any, place: str) -> dict[str, Mapping[str, np.ndarray]]:
    """The state_dicts in a tree of dicts, by the place where they were found: {"state_dict": …} and the like."""
    if not isinstance(tree, dict):
        return {}
    if any(isinstance(value, np.ndarray) and value.ndim == 4 for value in tree.values()):
        return {place: {str(key): value for key, value in tree.items()}}
    found: dict[str, Mapping[str, np.ndarray]] = {}
    for key, value in tree.items():
        found |= _states(value, f"{place}.{key}" if place else str(key))
    return found


def _name(path: Path, place: str, state: Mapping[str, np.ndarray], told: str) -> str:
    """Ours for a lone network: as the file says, else after the field's file name, else by what it is."""
    if told in FIELD_NAMES:
        return told
    if match := re.search(r"_net_([GD]_[AB])$", path.stem):
        return OUR_NAMES[match[1]]
    return "generator" if Weights(place, path, state).architecture().is_generator else "discriminator"


def _safetensors(path: Path) -> dict[str, Weights]:
    safetensors()
    try:
        with open_file(path) as start:
            check_text(int.from_bytes(start.read(8), "little"))  # of the header, before a library reads it
        with importlib.import_module("safetensors").safe_open(path, "np") as file:
            about = read_json((file.metadata() or {}).get(ABOUT, "{}").encode())
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  the library's own method
    except Exception as error:  # its own error type, or NumPy's for a dtype that NumPy lacks
        raise UserError(f"{shown(path)}: cannot be read as safetensors ({shown(error, 300)})") from error
    modes = _modes(path, about)
    if len(modes) > 1:
        parts = {name: {k.partition(".")[2]: v for k, v in state.items() if k.startswith(f"{name}.")} for name in modes}
        return {name: Weights(name, path, part, _mode(modes[name])) for name, part in parts.items()}
    told = next(iter(modes), "")
    name = _name(path, "", state, told)
    return {name: Weights(name, path, state, _mode(modes.get(told)))}


def _mode(upsample: Any) -> str:
    return "bilinear" if isinstance(upsample, str) and upsample == "bilinear" else "nearest"
