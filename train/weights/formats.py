"""Weights in files: whatever format they are in, networks by name; and back.

    run folder, .npz    our checkpoint (train/files/checkpoint.py), or one that holds networks only
    .pth .pt .pth.tar   PyTorch (train/weights/torch_files.py): one network, or several in nested dicts or under prefixes
    .safetensors        the same
    folder of those     the reference implementation's run: latest_net_G_A.pth and so on; or others', one file a network

Names are ours: gen_ab, gen_ba, disc_a, disc_b (train/weights/names.py). A lone network whose direction no name tells is
"generator" or "discriminator".
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nn.network import Network
from train.errors import UserError, shown
from train.files import checkpoint
from train.files.finite import check_finite
from train.files.state import check_state
from train.models.registry import SYSTEMS
from train.weights import names, safetensors_files, torch_files
from train.weights.architecture import Architecture, architecture_of, describe, network_from
from train.weights.layers import State
from train.weights.parts import states

TORCH = (".pth", ".pt", ".bin", ".ckpt", ".pth.tar")
FORMATS = (*TORCH, ".safetensors", ".npz")


class WholeRun(UserError):
    """The checkpoint of a run that only its system can translate with: `file`, and the `state` in it."""

    def __init__(self, file: Path, state: Mapping[str, Any]) -> None:
        self.file, self.state = file, state
        name = shlex.quote(str(state.get("config", {}).get("name", "NAME")))
        takes = "codes" if hasattr(SYSTEMS[state["program"]], "codes") else "more than a picture"
        super().__init__(
            f"{shown(file)}: a run of {state['program']}, whose generators take {takes}; no other file format and no other "
            f"program has such networks. See what it does by python -m train.evaluate --name {name} or python -m train.probe --name "
            f"{name}, and translate by python -m train.translate"
        )


@dataclass(frozen=True)
class Weights:
    """One network's state_dict, not yet a network."""

    name: str
    source: Path
    state: State
    upsample: str = (
        ""  # what a resizing generator resizes with, which no shape tells; "" where its file does not either
    )
    error: str = ""  # why its file cannot be read
    trained: Mapping[str, Any] = field(default_factory=dict)  # the settings of the run that it is of, and its "program"

    def architecture(self) -> Architecture:
        """Which network it is; UserError naming the file if it is none of ours."""
        return self._told(lambda: architecture_of(self.state, self.upsample)[0])

    def network(self, device: str = "cpu") -> Network:
        """The network, loaded; UserError naming the file if it is none of ours, or a weight of it no number."""
        check_finite(self.source, self.state, self.name)
        return self._told(lambda: network_from(self.state, device, self.upsample))

    @property
    def kind(self) -> str:
        """ "generator", "discriminator", or "" for what is no network of ours."""
        try:
            return "generator" if self.architecture().is_generator else "discriminator"
        except UserError:
            return ""

    def _told(self, make: Any) -> Any:
        if self.error:
            raise UserError(self.error)
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
        raise UserError(f"{shown(path)}: there is no such file or folder of weights")
    if path.is_dir():
        found = _ours(path / "latest.npz") if (path / "latest.npz").exists() else _named(_folder(path))
    elif path.suffix == ".npz":
        found = _ours(path)
    elif path.name.endswith(FORMATS):
        found = _named(_parts(path))
    else:
        raise UserError(f"{shown(path)}: unknown kind of weights; wanted a run's folder or a file {' '.join(FORMATS)}")
    if not found:
        raise UserError(f"{shown(path)}: holds no network")
    for name in found:
        if not re.fullmatch(
            r"\w[\w.-]{0,99}", name
        ):  # it becomes the name of a file, in which ".." would lead elsewhere
            raise UserError(f"{shown(path)}: a network called {shown(name, 100)!r}; wanted letters, digits, . and -")
    if upsample:
        found = {name: replace(w, upsample=upsample) for name, w in found.items()}
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
        safetensors_files.write(path, state, text)
    else:
        assert single, "a .pth holds one network"
        torch_files.write(path, state, text)


def _folder(path: Path) -> dict[str, Weights]:
    """The networks in a folder's files, by label. A file that cannot be read is kept with the reason: it may not be needed."""
    files = [f for f in sorted(path.iterdir()) if f.name.endswith(FORMATS[:-1]) and not f.name.startswith(".")]
    latest = [file for file in files if file.name.startswith("latest_net_")]
    if (path / "model.safetensors") in files:  # a hub's folder, which may hold the same twice
        files = [file for file in files if file.name != "pytorch_model.bin"]
    kept: list[tuple[str, str, Weights]] = []
    for file in latest or _newest(files):
        label = re.sub(r"[^\w.-]", "_", _stem(file))
        try:
            parts = _parts(file)
        except UserError as error:
            parts = {label: Weights(label, file, {}, error=str(error))}
        kept += [(label, name, w) for name, w in parts.items()]
    often = Counter(name for _, name, _ in kept)
    found = {name if often[name] == 1 else f"{label}.{name}": w for label, name, w in kept}
    if not found:
        raise UserError(
            f"{shown(path)}: holds neither latest.npz (a run of this program) nor weights {' '.join(FORMATS[:-1])} "
            "(latest_net_G_A.pth and the like); give the folder of one run, or one file"
        )
    if all(w.error for w in found.values()):
        raise UserError(next(w.error for w in found.values()))
    return found


def _newest(files: Sequence[Path]) -> list[Path]:
    """Of files that differ in a number at their names' start or end (G_AB_10.pth, G_AB_20.pth: epochs), that of the greatest."""
    series: dict[str, tuple[int, Path]] = {}
    for file in files:
        count = re.search(r"^(\d{1,9})_|_(\d{1,9})$", _stem(file))
        key = file.name.replace(count[0], "_", 1) if count else file.name
        number = int(count[1] or count[2]) if count else 0
        series[key] = max(series.get(key, (-1, file)), (number, file))
    return [file for _, file in series.values()]


def _stem(file: Path) -> str:
    return file.name.removesuffix(".tar").rpartition(".")[0]


def _ours(path: Path) -> dict[str, Weights]:
    state = checkpoint.load(path)
    check_state(path, state)
    try:
        system = SYSTEMS.get(str(state.get("program")))
        if system is not None and not system.plain_generators:
            raise WholeRun(path, state)
        modes, run_mode = _modes(path, state.get("about", {})), state.get("config", {}).get("upsample", "")
        networks = state["networks"] if "networks" in state else state["model"]["networks"]
        trained = {**state.get("config", {}), "program": str(state.get("program", ""))}
        return {
            name: Weights(name, path, values, _mode(modes.get(name, run_mode)), trained=trained)
            for name, values in networks.items()
        }
    except (LookupError, TypeError, AttributeError) as error:
        raise UserError(
            f"{shown(path)}: a checkpoint, but without networks ({type(error).__name__}: {shown(error, 300)})"
        ) from error


def _parts(path: Path) -> dict[str, Weights]:
    """The networks in a file, by label: their place in it; of a lone one what tells its direction, the file, its place or its name."""
    tree, about = (safetensors_files if path.suffix == ".safetensors" else torch_files).read(path)
    found, modes = states(tree), _modes(path, about)
    if not found:
        kind = type(tree).__name__
        raise UserError(f"{shown(path)}: holds no weights (a {kind}); wanted torch.save(network.state_dict(), file)")
    if len(found) > 1:
        return {
            (name := place or _stem(path)): Weights(name, path, s, _mode(modes.get(place)))
            for place, s in found.items()
        }
    ((place, state),), said = found.items(), next(iter(modes), "")
    label = said if said in names.FIELD_NAMES else place if names.tells(place) else _stem(path)
    return {label: Weights(label, path, state, _mode(modes.get(said)))}


def _named(found: Mapping[str, Weights]) -> dict[str, Weights]:
    """Networks by our names instead of their labels."""
    called = names.ours({label: w.kind for label, w in found.items()})
    return {called[label]: replace(w, name=called[label]) for label, w in found.items()}


def _modes(path: Path, about: Any) -> dict[str, Any]:
    """How each network's generator resizes, by the words of a file of ours. UserError for other words."""
    if not isinstance(about, dict) or not all(isinstance(words, dict) for words in about.values()):
        raise UserError(f"{shown(path)}: what it says of its networks is not in this program's words; export it again")
    return {name: words.get("upsample") for name, words in about.items()}


def _mode(upsample: Any) -> str:
    return upsample if isinstance(upsample, str) and upsample in ("nearest", "bilinear") else ""
