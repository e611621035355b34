"""What a CycleGAN's networks are, and what they make of two pictures, at one moment: for comparing before and after."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from autograd import no_grad
from nn.module import observed
from train.evaluation.overhearing import ENDS, LETTERS
from train.models.cyclegan import CycleGAN

Array = np.ndarray


@dataclass
class Look:
    """What the networks are, and what they make of the two pictures, at one moment."""

    weights: dict[str, dict[str, Array]]  # network -> PyTorch's name and layout
    pictures: dict[str, Array]  # "a", "G(a)", "F(G(a))", "G(b)", … [H,W,C]
    scores: dict[str, Array]  # "D_B(b)", "D_B(G(a))", … [P,Q]
    layers: dict[str, dict[str, Array]]  # network -> layer -> what it gives [H,W,C] for the picture `looked_at`
    losses: dict[str, float] = field(default_factory=dict)  # weighted, by name


@no_grad()
def look(model: CycleGAN, a: Array, b: Array) -> Look:
    """What the networks that learn (not their averages) make of pictures a and b [1,H,W,C]."""
    seen = Look(weights(model), {"a": a[0], "b": b[0]}, {}, {})
    tensors = {"a": model.tensor(a), "b": model.tensor(b)}
    networks = model.networks()
    same = model.config.input_nc == model.config.output_nc

    def make(network: str, of: str) -> None:
        name = f"{LETTERS[network]}({of})"
        layers: dict[str, Array] = {}
        paths = {id(module): path for path, module in networks[network].named_modules()}
        with observed(lambda module, _, output: layers.__setitem__(paths[id(module)], output.data[0])):
            y = tensors[name] = networks[network](tensors[of])
        (seen.scores if network.startswith("disc") else seen.pictures)[name] = (
            y.data[0, :, :, 0] if network.startswith("disc") else y.data[0]
        )
        if of == looked_at(network):
            seen.layers[network] = {path: y for path, y in layers.items() if path}

    for start, target, there, back, disc in ENDS.values():
        make(there, start)
        fake = f"{LETTERS[there]}({start})"
        make(back, fake)
        if same:
            make(there, target)
        make(disc, target)
        make(disc, fake)
    return seen


def looked_at(network: str) -> str:
    """The picture whose way through a network is kept: a generator's start, and a real one of a discriminator's domain."""
    return next(
        start if there == network else target
        for start, target, there, _, disc in ENDS.values()
        if network in (there, disc)
    )


def weights(model: CycleGAN) -> dict[str, dict[str, Array]]:
    """Copies of all weights."""
    return {name: network.state_dict() for name, network in model.networks().items()}
