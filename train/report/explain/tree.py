"""The ops of a step as a tree: turn, direction, network, block, op, each with what it cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nn.module import Module, Parameter, Sequential
from nn.network import Network
from nn.trace import Op
from train.evaluation.explained_step import TURNS, Explained
from train.evaluation.overhearing import ENDS, LETTERS


@dataclass
class Branch:
    """A line of the tree; what it cost is the sum over its ops."""

    title: str
    about: str = ""
    children: list[Branch] = field(default_factory=list)
    op: Op | None = None
    kind: str = ""  # "turn", "direction", "network", "block", "op", "update"
    seconds: float = 0.0  # of an update
    numbers: int = 0  # parameters that an update moves
    network: str = ""

    def ops(self) -> Iterable[Op]:
        """All at or below it, in order."""
        if self.op is not None:
            yield self.op
        for child in self.children:
            yield from child.ops()

    def updates(self) -> Iterable[Branch]:
        """All updates at or below it."""
        if self.kind == "update":
            yield self
        for child in self.children:
            yield from child.updates()

    @property
    def parameters(self) -> int:
        """Numbers in the weights that take part; a network that is called twice has them once."""
        mine: dict[int, Parameter] = {id(p): p for op in self.ops() for p in op.parameters}
        return sum(p.size for p in mine.values()) or sum(u.numbers for u in self.updates())

    @property
    def macs(self) -> int:
        return sum(op.macs for op in self.ops())

    @property
    def backward_macs(self) -> int:
        return sum(op.backward_macs for op in self.ops())

    @property
    def saved(self) -> int:
        return sum(op.saved for op in self.ops())

    @property
    def forward(self) -> float:
        """Seconds."""
        return sum(op.seconds for op in self.ops())

    @property
    def backward(self) -> float:
        """Seconds; an update counts here, which follows the backward."""
        return sum(op.backward_seconds or 0.0 for op in self.ops()) + sum(u.seconds for u in self.updates())

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what comes out of it last."""
        return next((op.output for op in reversed([*self.ops()])), ())


def tree(e: Explained) -> list[Branch]:
    """The two turns."""
    found = []
    updates = iter(e.trace.updates)
    for turn in TURNS:
        if not any(f.turn == turn for f in e.forwards):
            continue
        branch = Branch(f"{turn[:-1]}s’ turn", kind="turn")
        for name, (start, *_, disc) in ENDS.items():
            way = " → ".join((start.upper(), {"a": "B", "b": "A"}[start], start.upper()))
            direction = Branch(f"direction {way}" if turn == "generators" else f"{LETTERS[disc]}", kind="direction")
            for forward in e.find(turn, name):
                learns = "learns" if forward.learns else "frozen"
                names = ", ".join(forward.made)
                direction.children.append(network_branch(e, forward.network, names, learns, e.ops_of(forward)))
            losses = [Branch(op.name, kind="op", op=op) for op in e.ops_of((turn, name))]
            direction.children.append(
                Branch("losses", "their sum, and what joins and splits batches", losses, kind="block")
            )
            branch.children.append(direction)
        for done in [next(updates)]:
            branch.children.append(
                Branch("Adam", "moves the weights", kind="update", seconds=done.seconds, numbers=done.numbers)
            )
        found.append(branch)
    return found


def network_branch(e: Explained, name: str, title: str, about: str, ops: list[Op]) -> Branch:
    """A network's ops, by block: the innermost module that holds others, or a layer that is in none."""
    network = e.model.networks()[name]
    paths = {id(m): path for path, m in network.named_modules()}
    branch = Branch(title, about, kind="network", network=name)
    blocks: dict[int, Branch] = {}
    for op in ops:
        inner = [m for m in op.modules if not isinstance(m, Network | Sequential)]
        holder = block_of(inner)
        if holder is None:
            branch.children.append(Branch(op.name, "joins or splits a batch", op=op, kind="op"))
            continue
        if id(holder) not in blocks:
            blocks[id(holder)] = Branch(paths[id(holder)], type(holder).__name__, kind="block")
            branch.children.append(blocks[id(holder)])
        path = paths[id(inner[-1])]
        blocks[id(holder)].children.append(Branch(op.name, "" if inner[-1] is holder else path, op=op, kind="op"))
    return branch


def block_of(modules: list[Module]) -> Module | None:
    """Of the modules that an op ran in, outermost first: the innermost that holds others; else the innermost."""
    holding = [m for m in modules if any(True for _ in m.children())]
    return (holding or modules)[-1] if modules else None
