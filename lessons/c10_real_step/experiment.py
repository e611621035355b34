"""A small CycleGAN on drawn animals: its pictures, its losses, and whose gradient moves the generator, early and later."""

from __future__ import annotations

import sys

import numpy as np

from autograd import Tensor, no_grad
from kernels.dispatch import references
from lessons.parts import Lines, Part, Pictures, Table
from lessons.plain_step import PlainStep
from lessons.sources import by_loss, length
from nn import PatchDiscriminator, ResnetGenerator
from train.data.builtin.scenes import scene

SIZE = 32
LOOKS = (0, 30, 90)
SOURCES = ("G_A", "cycle_A", "cycle_B", "idt_A")


def pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of A and one of B, unpaired: [1,SIZE,SIZE,3] each."""
    return tuple(scene(d, 2 * seed + i, SIZE)[None].astype(np.float32) for i, d in enumerate("AB"))  # type: ignore[return-value]


def fresh(seed: int = 0) -> PlainStep:
    """Networks as the product's, only smaller."""
    gens = [ResnetGenerator(ngf=4, n_blocks=2, seed=4 * seed + i) for i in (0, 1)]
    return PlainStep(
        *gens, *(PatchDiscriminator(ndf=4, n_layers=1, seed=4 * seed + i) for i in (2, 3)), pool_size=0, lr=2e-3
    )


def show(looks: tuple[int, ...] = LOOKS) -> list[Part]:
    """Train up to the last look."""
    game, rows, depth, values = fresh(), [], {}, []
    pictures: dict[str, np.ndarray] = {}
    with references():
        for step in range(looks[-1] + 1):
            if step in looks:
                print(f"step {step} of {looks[-1]}", file=sys.stderr)
                a, b = (Tensor(x) for x in pair(9999))
                found = by_loss(game, "generators", a, b)
                rows.append((f"step {step}", *(f"{length(found[s]['gen_ab']):.3f}" for s in SOURCES)))
                depth[step] = found
                pictures |= seen(game, a, step)
            losses = game.step(*pair(step))
            if step in looks:
                values.append((f"step {step}", *(f"{losses[n]:.3f}" for n in ("G_A", "cycle_A", "idt_A", "D_A"))))
    layers = [
        name for name, g in depth[looks[-1]]["G_A"]["gen_ab"].items() if name.endswith("weight") and g is not None
    ]
    along = {s: [length({name: depth[looks[-1]][s]["gen_ab"][name]}) for name in layers] for s in SOURCES}
    return [
        Pictures("What the networks make of one animal", pictures, low=-1, high=1, scale=4),
        Table("Losses, weighted as they are summed", ("", "G_A", "cycle_A", "idt_A", "D_A"), values),
        Table("Length of gen_ab's gradient, by the loss that it comes from", ("", *SOURCES), rows, "`cycle_A`: gen_ab leads there; `cycle_B`: gen_ab leads back."),
        Lines(f"The same through the depth of gen_ab, step {looks[-1]}", range(1, len(layers) + 1), along, "convolution, from the picture's side", "y"),
    ]  # fmt: skip


@no_grad()
def seen(game: PlainStep, a: Tensor, step: int) -> dict[str, np.ndarray]:
    fake = game.gen_ab(a)
    score = game.disc_b(fake).numpy()[0]  # [P,Q,1]
    score = np.kron(score, np.ones((2, 2, 3)))  # as large as the pictures, about
    shown = {} if step else {"a": a.numpy()[0]}
    return shown | {
        f"G(a), step {step}": fake.numpy()[0],
        f"F(G(a)), step {step}": game.gen_ba(fake).numpy()[0],
        f"scores of G(a), step {step}": 2 * score - 1,
    }
