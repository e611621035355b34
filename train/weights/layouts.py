"""Which network, from its convolutions: their kernels, shapes and the places where they stand.

In PyTorch's `Sequential` pads, norms, activations and resizing count too, so the indices tell what stands between: a ResNet
generator whose first convolution is `model.0` has no reflection pad before it, and pads with zeros itself. An arrangement that
is not known is refused, because its pictures would come out wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from train.weights.layers import Layer

MOST_LEVELS = 24  # of a U-Net, which halves its picture so often
BLOCKS = {(1, 5): "reflect", (1, 6): "reflect", (0, 3): "zeros", (0, 4): "zeros"}  # the later of each with dropout


@dataclass
class Layout:
    """A kind of network, its settings, and what its convolutions are called here."""

    kind: str
    settings: dict[str, Any]
    names: list[str]
    notes: list[str] = field(default_factory=list)


def layout_of(convs: Sequence[Layer], upsample: str) -> Layout:
    """The network that has these convolutions. ValueError says why it is none of ours.

    upsample  what a generator that resizes does it with; "" where that is not known
    """
    kernel, nested = convs[0].shape[2:], any(layer.path.count("model") > 2 for layer in convs)
    if kernel == (7, 7):
        return _resnet(convs, upsample)
    if kernel == (4, 4):
        return _unet(convs) if nested else _patch(convs)
    if kernel == (1, 1):
        return _pixel(convs)
    raise ValueError(
        f"the first convolution ({convs[0].path}) has the kernel {'x'.join(map(str, kernel))}; known are ResNet generators (7x7), "
        "U-Nets and patch discriminators (4x4) and pixel discriminators (1x1)"
    )


def _resnet(convs: Sequence[Layer], upsample: str) -> Layout:
    inner = [layer for layer in convs if layer.place[0].endswith("block")]  # conv_block, or PyTorch-GAN's block
    outer = [layer for layer in convs if layer not in inner]
    owners = [layer.place[0].rpartition(".")[0] for layer in inner]
    n_blocks = len(inner) // 2
    paired = owners[::2] == owners[1::2] and len(set(owners)) == n_blocks
    if len(outer) != 6 or not paired or convs[3 : 3 + len(inner)] != inner:
        raise ValueError(
            f"{len(outer)} convolutions outside residual blocks and {len(inner)} in them; a ResNet generator of "
            "CycleGAN has 3, then 2 for each block, then 3"
        )
    ngf, in_channels = outer[0].shape[:2]
    deconv = outer[3].shape[:2] == (4 * ngf, 2 * ngf)
    ends, blocks, resized = _padding(outer, inner, owners, deconv)
    modes = {"ends": ends, "blocks": blocks, "resize": resized}
    settings: dict[str, Any] = {"in_channels": in_channels, "out_channels": outer[5].shape[0]}
    settings |= {"ngf": ngf, "n_blocks": n_blocks, "upsample": "deconv" if deconv else upsample or "nearest"}
    if zero_padded := [part for part, mode in modes.items() if mode == "zeros"]:
        settings["zero_padded"] = zero_padded
    pad, own = int(ends == "reflect"), int(resized == "zeros")
    up = pad + 9 + n_blocks
    first, second = (1, 5) if blocks == "reflect" else (0, 3)
    indices = [pad, pad + 3, pad + 6, up + own, up + 2 * own + 3, up + 2 * own + 6 + pad]
    names = [f"model.{i}" for i in indices]
    names[3:3] = [f"model.{pad + 9 + i}.conv_block.{j}" for i in range(n_blocks) for j in (first, second)]
    notes = []
    if not deconv and not upsample:
        notes.append(
            "it resizes, and weights do not tell whether by nearest or bilinear: nearest is taken (--upsample says otherwise)"
        )
    return Layout("resnet", settings, names, notes)


def _padding(
    outer: Sequence[Layer], inner: Sequence[Layer], owners: Sequence[str], deconv: bool
) -> tuple[str, str, str]:
    """How a ResNet generator pads at its ends, in its blocks and behind resizing: "reflect" or "zeros"."""
    at = [layer.place[1] for layer in outer]
    middle = [int(index) if (index := owner.rpartition(".")[2]).isdecimal() else -1 for owner in owners[::2]]
    start = at[2] + 3
    within = {(one.place[1], two.place[1]) for one, two in zip(inner[::2], inner[1::2], strict=True)}
    grown = (
        at[3] - start - len(middle),
        at[4] - at[3] - 3,
    )  # layers before a convolution that grows, beyond norm and activation
    ends = {(0, 0): "zeros", (1, 1): "reflect"}.get((at[0], at[5] - at[4] - 3))
    blocks = BLOCKS.get(next(iter(within))) if len(within) == 1 else None if within else "reflect"
    resized = {(0, 0): "reflect"} | ({} if deconv else {(1, 1): "zeros", (2, 2): "reflect"})  # Upsample; Upsample, pad
    alone = len({layer.place[0] for layer in outer}) == 1
    counted = at[1:3] == [at[0] + 3, at[0] + 6] and middle == list(range(start, start + len(middle)))
    if not (alone and counted and ends and blocks and grown in resized):
        places = ", ".join(layer.path for layer in (*outer[:3], *inner[:2], *outer[3:]))
        raise ValueError(
            f"its convolutions stand at {places}, from which it cannot be told how they pad; known are the reference "
            "implementation's generators since 2017, with and without dropout, those that resize, and PyTorch-GAN's"
        )
    return ends, blocks, resized[grown]


def _unet(convs: Sequence[Layer]) -> Layout:
    (ngf, in_channels), out_channels = convs[0].shape[:2], convs[-1].shape[1]
    if len(convs) > 2 * MOST_LEVELS:
        raise ValueError(f"a U-Net of {len(convs) // 2} levels; wanted at most {MOST_LEVELS}")
    settings = {
        "in_channels": in_channels, "out_channels": out_channels, "num_downs": len(convs) // 2, "ngf": ngf,
    }  # fmt: skip
    above = convs[0].path.removesuffix("model.model.0")
    return Layout("unet", settings, [layer.path.removeprefix(above) for layer in convs])


def _patch(convs: Sequence[Layer]) -> Layout:
    (ndf, in_channels), n_layers = convs[0].shape[:2], len(convs) - 2
    body, at = [0, *(3 * i - 1 for i in range(1, n_layers + 1))], [layer.place[1] for layer in convs]
    last = {3 * n_layers + 2: "patch", 3 * n_layers + 3: "strided"}  # PyTorch-GAN has a pad of its own before the last
    if at[:-1] != body or at[-1] not in last:
        raise ValueError(
            f"its convolutions stand at {', '.join(layer.path for layer in convs)}; patch discriminators have theirs at "
            f"{', '.join(map(str, body))} and {3 * n_layers + 2} (the reference implementation) or {3 * n_layers + 3} (PyTorch-GAN)"
        )
    settings = {"in_channels": in_channels, "ndf": ndf, "n_layers": n_layers}
    return Layout(last[at[-1]], settings, [f"model.{i}" for i in at])


def _pixel(convs: Sequence[Layer]) -> Layout:
    (ndf, in_channels), at = convs[0].shape[:2], [layer.place[1] for layer in convs]
    if at != [0, 2, 5]:
        raise ValueError(
            f"its convolutions stand at {', '.join(layer.path for layer in convs)}; a pixel discriminator's at 0, 2, 5"
        )
    return Layout("pixel", {"in_channels": in_channels, "ndf": ndf}, ["net.0", "net.2", "net.5"])
