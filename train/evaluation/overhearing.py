"""A direction's losses, overheard: which network was asked for what, and who learned then. See train/models/directions.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nn.stacked import Pictures
from train.models.directions import Direction, Losses


@dataclass
class Forward:
    """A forward that was asked for. Pictures and scores have names such as "F(G(a))", in the paper's letters."""

    turn: str  # "generators" or "discriminators"
    direction: str  # "A" or "B"
    network: str  # "gen_ab"
    names: tuple[str, ...]  # of the inputs
    made: tuple[str, ...]  # of the outputs
    inputs: Pictures
    outputs: Pictures
    learns: bool  # whether the network's parameters collect gradients
    attached: tuple[bool, ...]  # whether the inputs have a history through which gradients flow on


LETTERS = {"gen_ab": "G", "gen_ba": "F", "disc_a": "D_A", "disc_b": "D_B"}
"""What the paper calls the networks."""
ENDS = {"A": ("a", "b", "gen_ab", "gen_ba", "disc_b"), "B": ("b", "a", "gen_ba", "gen_ab", "disc_a")}
"""Of each direction the picture it starts from, one of where it leads, and the networks there, back and for judging."""


def overheard(
    turn: str, losses_of: Callable[[Direction], Losses], d: Direction, tell: Callable[[Forward | None], None]
) -> Losses:
    """The same losses. `tell` is called before each forward with what is known of it then, after it with all, and in the
    end with None."""
    start, target, *networks = ENDS[d.name]
    called = dict(zip((id(d.gen), id(d.back_gen), id(d.disc)), networks, strict=True))
    names = {id(d.real): start, id(d.target): target}
    newest = f"{LETTERS[networks[0]]}({start})"
    asking = losses_of(d)
    asked = next(asking)
    while True:
        network, inputs = asked
        letter = LETTERS[called[id(network)]]
        given = tuple(names.get(id(x), f"pool({newest})") for x in inputs)
        made = tuple(f"{letter}({name})" for name in given)
        forward = Forward(
            turn, d.name, called[id(network)], given, made, inputs, (),
            any(p.requires_grad for p in network.parameters()), tuple(x.requires_grad for x in inputs),
        )  # fmt: skip
        tell(forward)
        outputs = yield asked
        forward.outputs = outputs
        names |= {id(y): name for y, name in zip(outputs, made, strict=True)}
        tell(forward)
        try:
            asked = asking.send(outputs)
        except StopIteration as end:
            tell(None)
            return end.value
