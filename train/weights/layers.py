"""A state_dict as layers in the order of the network: its convolutions, and what their norms are.

Files in the field differ in harmless ways, which end here: layers wrapped by DataParallel (`module.`) or torch.compile
(`_orig_mod.`), and norms that kept running statistics.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

State = Mapping[str, np.ndarray]
WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
BATCH = (
    "batch norm, read as in training mode on one picture (the reference implementation's test script without --eval), "
    "where it is an instance norm that scales and shifts; eval() makes other pictures of the same file"
)
OLD = (
    "norms of 2017 that scale and shift: instance norm, or batch norm in training mode on one picture, which is the same; "
    "their running statistics are not used"
)
TRACKED = (
    "instance norms that kept running statistics, as the reference implementation's did from 2018-06 to 2018-10; they are not used, "
    "as in training (its test script of these months used them under eval(), which makes other pictures)"
)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass
class Layer:
    """What a state_dict holds under one path."""

    path: str  # "model.10.conv_block.1"
    entries: dict[str, np.ndarray]

    @property
    def is_conv(self) -> bool:
        return "weight" in self.entries and self.entries["weight"].ndim == 4

    @property
    def shape(self) -> tuple[int, ...]:
        return self.entries["weight"].shape

    @property
    def place(self) -> tuple[str, int]:
        """The Sequential that it stands in, and its index there, which is -1 where it has a name instead."""
        parent, _, index = self.path.rpartition(".")
        return parent, int(index) if index.isdecimal() else -1


@dataclass(frozen=True)
class Norms:
    """What the norms of a network are."""

    affine: bool = False  # they scale and shift
    batch: bool = False  # batch norms, surely
    old: bool = (
        False  # with statistics as PyTorch kept them until 0.4.0, behind convolutions with a bias: before 2017-08-22
    )
    tracked: bool = False  # instance norms that kept statistics, as PyTorch does since 0.4.1 where it is told to

    @property
    def notes(self) -> tuple[str, ...]:
        """What one should know about the reading of them."""
        return tuple(note for there, note in ((self.batch, BATCH), (self.old, OLD), (self.tracked, TRACKED)) if there)


def layers_of(state: State) -> list[Layer]:
    """The entries by layer, in the order of the network, whatever the order of the file. ValueError for what is no array."""
    found: dict[str, Layer] = {}
    for key, value in state.items():
        if type(value) is not np.ndarray:
            raise ValueError(f"{key} is a {type(value).__name__}, wanted an array; {seen(state)}")
        path, _, entry = WRAPPERS.sub("", key).rpartition(".")
        found.setdefault(path, Layer(path, {})).entries[entry] = value

    def order(layer: Layer) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in layer.path.split(".")]

    return sorted(found.values(), key=order)


def norms_of(layers: Sequence[Layer]) -> Norms:
    """What the norms are. ValueError for layers that are none, stand elsewhere, or where it cannot be told whether there are any."""
    affine = batch = old = tracked = False
    convs = [layer for layer in layers if layer.is_conv]
    for before, layer in itertools.pairwise(layers):
        if layer.is_conv:
            continue
        unknown = layer.entries.keys() - {"weight", "bias", *STATISTICS}
        if unknown or any(value.ndim > 1 for value in layer.entries.values()):
            raise ValueError(f"{layer.path} ({', '.join(layer.entries)}) is no layer of CycleGAN's networks")
        parent, index = before.place
        if not before.is_conv or layer.place != (parent, index + 1):
            raise ValueError(
                f"{layer.path} is a norm that does not follow a convolution at once; {before.path} stands before it"
            )
        scale, shift = layer.entries.get("weight", np.ones(1)), layer.entries.get("bias", np.zeros(1))
        affine |= bool((scale != 1).any() or (shift != 0).any())
        counted = "num_batches_tracked" in layer.entries
        tracked |= counted and "weight" not in layer.entries
        if "weight" in layer.entries:
            batch |= counted or "bias" not in before.entries
            old |= "running_mean" in layer.entries and not counted and "bias" in before.entries
    if len(convs) == len(layers) and (bare := [layer for layer in convs if "bias" not in layer.entries]):
        raise ValueError(
            f"{bare[0].path} is a convolution without bias, and no norm is stored: either there is none (--norm none), which the "
            "networks here do not have, or it is an instance norm behind convolutions without bias; nothing tells which"
        )
    return Norms(affine, batch, old, tracked)


def seen(state: State) -> str:
    """The start of what a state_dict holds, for an error."""
    keys = list(state)
    return f"its {len(keys)} keys begin with {', '.join(map(repr, keys[:3]))}" if keys else "it is empty"
