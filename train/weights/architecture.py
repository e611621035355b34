"""A network from its weights alone: which one it is, and how large, follows from the keys and shapes of its state_dict.

Files in the field differ in harmless ways, all of which end in today's names here: layers wrapped by DataParallel
(`module.`) or torch.compile (`_orig_mod.`), norms that kept running statistics which nothing uses, and indices that moved
because dropout, or a resizing layer of its own, took one. What counts is the order of the convolutions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.device import Device
from nn.affine import Affine, make_affine
from nn.layers import ResizeConvNormRelu
from nn.module import SLACK, at_most
from nn.network import Network
from nn.patch_discriminator import PatchDiscriminator, PixelDiscriminator
from nn.resnet_generator import ResnetGenerator
from nn.unet_generator import UnetGenerator

State = Mapping[str, np.ndarray]
KINDS: dict[str, Callable[..., Network]] = {
    "resnet": ResnetGenerator, "unet": UnetGenerator, "patch": PatchDiscriminator, "pixel": PixelDiscriminator,
}  # fmt: skip
MOST_CONVS = 512  # ResNet generators of 253 blocks; more make no network that anyone trained
MOST_LEVELS = 24  # of a U-Net, which halves its picture so often
WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Architecture:
    """Which network: a key of KINDS, the arguments that it was made with, and whether its norms scale and shift."""

    kind: str
    settings: dict[str, Any]
    affine: bool = False

    @property
    def is_generator(self) -> bool:
        return self.kind in ("resnet", "unet")

    def build(self, device: str | Device = "cpu") -> Network:
        """The network, with weights yet to be loaded."""
        network = KINDS[self.kind](**self.settings, device=device)
        return make_affine(network) if self.affine else network

    def __str__(self) -> str:
        words = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return f"{self.kind} ({words}{', affine norms' if self.affine else ''})"


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


def network_from(state: State, device: str | Device = "cpu", upsample: str = "nearest") -> Network:
    """The network whose weights these are, with them loaded. ValueError says why it is none of ours.

    upsample  what a generator that resizes does it with: nearest and bilinear have the same weights
    """
    architecture, renamed = architecture_of(state, upsample)
    held = sum(array.size for array in renamed.values())
    try:
        with at_most(SLACK + held):
            network = architecture.build(device)
    except ValueError as error:
        raise ValueError(f"{architecture} does not fit the {held:,} numbers that are there: {error}") from error
    network.load_state_dict(renamed)
    return network


def describe(network: Network) -> Architecture:
    """The architecture of a network."""
    modes = [module.mode for _, module in network.named_modules() if isinstance(module, ResizeConvNormRelu)]
    affine = any(isinstance(module, Affine) for _, module in network.named_modules())
    found, _ = architecture_of(network.state_dict(), *modes[:1])
    return Architecture(found.kind, found.settings, affine)


def architecture_of(state: State, upsample: str = "nearest") -> tuple[Architecture, dict[str, np.ndarray]]:
    """The architecture, and the state_dict in its names. ValueError says what was seen and what was wanted."""
    layers = _layers(state)
    convs = [layer for layer in layers if layer.is_conv]
    if not 3 <= len(convs) <= MOST_CONVS:
        raise ValueError(f"{len(convs)} convolutions; networks have 3 to {MOST_CONVS}. {_seen(state)}")
    for layer in convs:
        if 0 in layer.shape:
            raise ValueError(f"{layer.path}: a convolution {layer.shape}, without numbers")
    affine = _check_norms(layers)
    kernel, nested = convs[0].shape[2:], any(layer.path.count("model") > 2 for layer in convs)
    if kernel == (7, 7):
        found, names = _resnet(convs, upsample)
    elif kernel == (4, 4) and nested:
        found, names = _unet(convs)
    elif kernel == (4, 4):
        found, names = _patch(convs)
    elif kernel == (1, 1):
        found, names = _pixel(convs)
    else:
        raise ValueError(
            f"the first convolution has the kernel {'x'.join(map(str, kernel))}; known are ResNet generators (7x7), "
            f"U-Nets and patch discriminators (4x4) and pixel discriminators (1x1). {_seen(state)}"
        )
    if affine and found["kind"] == "unet":
        raise ValueError("its instance norms scale and shift (affine), which the U-Net here has no layer for")
    return Architecture(**found, affine=affine), _renamed(layers, names, affine)


def _layers(state: State) -> list[Layer]:
    """The entries by layer, in the order of the network, whatever the order of the file."""
    found: dict[str, Layer] = {}
    for key, value in state.items():
        if type(value) is not np.ndarray:
            raise ValueError(f"{key} is a {type(value).__name__}, wanted an array; {_seen(state)}")
        path, _, entry = WRAPPERS.sub("", key).rpartition(".")
        found.setdefault(path, Layer(path, {})).entries[entry] = value

    def place(layer: Layer) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in layer.path.split(".")]

    return sorted(found.values(), key=place)


def _check_norms(layers: Sequence[Layer]) -> bool:
    """Whether norms scale and shift. ValueError for batch norm, which cannot become instance norm."""
    affine = False
    for before, layer in itertools.pairwise(layers):
        if layer.is_conv:
            continue
        if before.is_conv and "bias" not in before.entries:
            raise ValueError(
                f"{layer.path} follows a convolution without bias, so it is a batch norm (--norm batch); the networks "
                "here have instance norm, which computes something else. Train with --norm instance"
            )
        unknown = layer.entries.keys() - {"weight", "bias", *STATISTICS}
        if unknown or any(value.ndim > 1 for value in layer.entries.values()):
            raise ValueError(f"{layer.path} ({', '.join(layer.entries)}) is no layer of CycleGAN's networks")
        scale, shift = layer.entries.get("weight", np.ones(1)), layer.entries.get("bias", np.zeros(1))
        affine |= bool((scale != 1).any() or (shift != 0).any())
    return affine


def _resnet(convs: Sequence[Layer], upsample: str) -> tuple[dict[str, Any], list[str]]:
    inner = [layer for layer in convs if ".conv_block." in layer.path]
    outer = [layer for layer in convs if layer not in inner]
    blocks_seen = [layer.path.partition(".conv_block.")[0] for layer in inner]
    n_blocks = len(inner) // 2
    paired = blocks_seen[::2] == blocks_seen[1::2] and len(set(blocks_seen)) == n_blocks
    if len(outer) != 6 or not paired or convs[3 : 3 + len(inner)] != inner:
        raise ValueError(
            f"{len(outer)} convolutions outside residual blocks and {len(inner)} in them; a ResNet generator of "
            "CycleGAN has 3, then 2 for each block, then 3"
        )
    ngf, in_channels = outer[0].shape[:2]
    settings: dict[str, Any] = {"in_channels": in_channels, "out_channels": outer[5].shape[0]}
    settings |= {"ngf": ngf, "n_blocks": n_blocks}
    settings["upsample"] = "deconv" if outer[3].shape[:2] == (4 * ngf, 2 * ngf) else upsample
    up = 10 + n_blocks
    blocks = [f"model.{10 + i}.conv_block.{j}" for i in range(n_blocks) for j in (1, 5)]
    names = [f"model.{i}" for i in (1, 4, 7)] + blocks + [f"model.{i}" for i in (up, up + 3, up + 7)]
    return {"kind": "resnet", "settings": settings}, names


def _unet(convs: Sequence[Layer]) -> tuple[dict[str, Any], list[str]]:
    (ngf, in_channels), out_channels = convs[0].shape[:2], convs[-1].shape[1]
    if len(convs) > 2 * MOST_LEVELS:
        raise ValueError(f"a U-Net of {len(convs) // 2} levels; wanted at most {MOST_LEVELS}")
    settings = {
        "in_channels": in_channels, "out_channels": out_channels, "num_downs": len(convs) // 2, "ngf": ngf,
    }  # fmt: skip
    return {"kind": "unet", "settings": settings}, [layer.path for layer in convs]


def _patch(convs: Sequence[Layer]) -> tuple[dict[str, Any], list[str]]:
    (ndf, in_channels), n_layers = convs[0].shape[:2], len(convs) - 2
    names = ["model.0", *(f"model.{3 * i - 1}" for i in range(1, n_layers + 1)), f"model.{3 * n_layers + 2}"]
    return {"kind": "patch", "settings": {"in_channels": in_channels, "ndf": ndf, "n_layers": n_layers}}, names


def _pixel(convs: Sequence[Layer]) -> tuple[dict[str, Any], list[str]]:
    ndf, in_channels = convs[0].shape[:2]
    return {"kind": "pixel", "settings": {"in_channels": in_channels, "ndf": ndf}}, ["net.0", "net.2", "net.5"]


def _renamed(layers: Sequence[Layer], names: Sequence[str], affine: bool) -> dict[str, np.ndarray]:
    """The entries that count, under today's names."""
    left, path = iter(names), ""
    renamed: dict[str, np.ndarray] = {}
    for layer in layers:
        if layer.is_conv:
            path = next(left, "?")
        elif not affine:
            continue
        elif layer.entries.keys() & {"weight", "bias"}:
            start, _, index = path.rpartition(".")
            path = f"{start}.{int(index) + 1}"
        else:
            continue
        renamed |= {f"{path}.{e}": v for e, v in layer.entries.items() if e not in STATISTICS}
    return renamed


def _seen(state: State) -> str:
    keys = list(state)
    return f"its {len(keys)} keys begin with {', '.join(map(repr, keys[:3]))}" if keys else "it is empty"
