"""A network from its weights alone: which one it is, and how large, follows from the keys and shapes of its state_dict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels.device import Device
from nn.affine import Affine, make_affine
from nn.layers import ResizeConvNormRelu
from nn.module import SLACK, at_most
from nn.network import Network
from nn.patch_discriminator import PatchDiscriminator, PixelDiscriminator, StridedDiscriminator
from nn.resnet_generator import ResnetGenerator
from nn.unet_generator import UnetGenerator
from train.weights.layers import STATISTICS, Layer, State, layers_of, norms_of, seen
from train.weights.layouts import Layout, layout_of
from train.weights.parts import FEWEST

KINDS: dict[str, Callable[..., Network]] = {
    "resnet": ResnetGenerator, "unet": UnetGenerator,
    "patch": PatchDiscriminator, "strided": StridedDiscriminator, "pixel": PixelDiscriminator,
}  # fmt: skip
MOST_CONVS = 512  # ResNet generators of 253 blocks; more make no network that anyone trained


@dataclass(frozen=True)
class Architecture:
    """Which network: a key of KINDS, the arguments that it was made with, and whether its norms scale and shift."""

    kind: str
    settings: dict[str, Any]
    affine: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)  # what was taken, where weights do not tell it

    @property
    def is_generator(self) -> bool:
        return self.kind in ("resnet", "unet")

    def build(self, device: str | Device = "cpu") -> Network:
        """The network, with weights yet to be loaded."""
        network = KINDS[self.kind](**self.settings, device=device)
        return make_affine(network) if self.affine else network

    def __str__(self) -> str:
        words = ", ".join(
            f"{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in self.settings.items()
        )
        return f"{self.kind} ({words}{', affine norms' if self.affine else ''})"


def network_from(state: State, device: str | Device = "cpu", upsample: str = "") -> Network:
    """The network whose weights these are, with them loaded. ValueError says why it is none of ours.

    upsample  what a generator that resizes does it with: nearest (which "" is, too) and bilinear have the same weights
    """
    architecture, renamed = architecture_of(state, upsample)
    held = sum(array.size for array in renamed.values())
    try:
        with at_most(SLACK + held):
            network = architecture.build(device)
    except ValueError as error:
        raise ValueError(f"{architecture} does not fit the {held:,} numbers that are there: {error}") from error
    for key, parameter in network.named_parameters():
        if key.endswith(".bias") and f"{key.removesuffix('bias')}weight" in renamed:  # batch norm makes it needless
            renamed.setdefault(key, np.zeros(parameter.shape, np.float32))
    network.load_state_dict(renamed)
    return network


def describe(network: Network) -> Architecture:
    """The architecture of a network."""
    modes = [module.mode for _, module in network.named_modules() if isinstance(module, ResizeConvNormRelu)]
    affine = any(isinstance(module, Affine) for _, module in network.named_modules())
    found, _ = architecture_of(network.state_dict(), *modes[:1])
    return Architecture(found.kind, found.settings, affine)


def architecture_of(state: State, upsample: str = "") -> tuple[Architecture, dict[str, np.ndarray]]:
    """The architecture, and the state_dict in its names. ValueError says what was seen and what was wanted."""
    layers = layers_of(state)
    convs = [layer for layer in layers if layer.is_conv]
    if not FEWEST <= len(convs) <= MOST_CONVS:
        raise ValueError(f"{len(convs)} convolutions; networks have {FEWEST} to {MOST_CONVS}. {seen(state)}")
    for layer in convs:
        if 0 in layer.shape:
            raise ValueError(f"{layer.path}: a convolution {layer.shape}, without numbers")
    layout, norms = layout_of(convs, upsample), norms_of(layers)
    notes = [*layout.notes, *norms.notes]
    renamed = _renamed(layers, layout, norms.affine)
    if layout.kind == "unet" and norms.old:
        notes.append("a U-Net of 2017, which joined its levels the other way round; turned here")
        _turn_joins(renamed, layout)
    if layout.kind == "patch" and norms.old:
        notes.append(
            "a discriminator of 2017, which padded by 2; here by 1, so it has fewer scores, others at the edges"
        )
    return Architecture(layout.kind, layout.settings, norms.affine, tuple(notes)), renamed


def _renamed(layers: Sequence[Layer], layout: Layout, affine: bool) -> dict[str, np.ndarray]:
    """The entries that count, under today's names."""
    left, path = iter(layout.names), ""
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


def _turn_joins(renamed: dict[str, np.ndarray], layout: Layout) -> None:
    """The input channels of what grows, in the order of today: what comes from above first, then what comes from below.

    Until 2017-09-22 the reference implementation had them the other way round. Convolutions with a bias before norms that scale
    and shift are from before 2017-08-22, so these surely are so.
    """
    for name in layout.names[len(layout.names) // 2 + 1 :]:  # but the innermost, which joins nothing
        weight = renamed[f"{name}.weight"]  # [C,K,R,S]
        half = len(weight) // 2
        renamed[f"{name}.weight"] = np.concatenate([weight[half:], weight[:half]])
