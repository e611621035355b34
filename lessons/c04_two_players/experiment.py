"""One step taken apart: which loss reaches which network; then the step with one line of its order left out."""

from __future__ import annotations

import numpy as np

from autograd import Tensor
from kernels.dispatch import references
from lessons.exhibits import LEAK, NO_DETACH, NOT_FROZEN, SOUND, Exhibit
from lessons.parts import Part, Table, Words
from lessons.plain_step import PlainStep
from lessons.points import A, B, cloud, networks
from lessons.sources import NETWORKS, by_loss, length


def reach() -> Table:
    """Who is reached by what, in a fresh game."""
    rng = np.random.default_rng(0)
    a, b = Tensor(cloud(rng, A, 64)), Tensor(cloud(rng, B, 64))
    game, rows = PlainStep(*networks(0), pool_size=0), []
    with references():
        game.step(a.data, b.data)
        for turn in ("generators", "discriminators"):
            for name, gradients in by_loss(game, turn, a, b).items():
                lengths = [length(g) for g in gradients.values()]
                rows.append((f"{turn}: {name}", *("-" if v is None else f"{v:.2f}" for v in lengths)))
    note = "-: no gradient at all. In the generators' turn the discriminators are frozen; in theirs the history is cut."
    return Table(
        "Length of the gradient that each loss leaves in each network, second step",
        ("turn: loss", *NETWORKS),
        rows,
        note,
    )


def compared(*exhibits: Exhibit) -> list[Part]:
    """Six hundred steps of each, or the error that stops it; and what was changed."""
    rows: list[tuple] = []
    words = []
    for exhibit in exhibits:
        changed = "\n".join(f"{sign} {line.strip()}" for sign, line in exhibit.change.diff())
        if changed:
            words.append(f"**{exhibit.name}**\n\n```diff\n{changed}\n```\n")
        try:
            numbers = exhibit.run(0).numbers()
            rows.append((exhibit.name, numbers["D"], numbers["G"], numbers["missed by"], ""))
        except RuntimeError as error:
            rows.append((exhibit.name, "-", "-", "-", "stopped"))
            words.append(f"stops in its first step: `{error}`\n")
    table = Table("The plain step with lines left out, seed 0", ("step", "D", "G", "missed by", ""), rows)
    return [table, Words("What was changed:\n\n" + "\n".join(words))]


def show() -> list[Part]:
    """Both."""
    return [reach(), *compared(SOUND, NOT_FROZEN, LEAK, NO_DETACH)]
