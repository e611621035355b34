"""Sums whose bits do not depend on who adds what: a tree over the samples' places.

The node of level l at `first`, a multiple of 2^l, is the sum of the samples first … first + 2^l - 1: the left half plus the right
half. Samples beyond the batch do not count. Whoever has some neighbours adds up what whole nodes they make, log2 of them at
most; whoever has all nodes adds up the rest. Floating-point addition is commutative, not associative: the tree says what is
added to what, so the sum is the same however the samples are shared out.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

from kernels.device import Array, xp_of
from train.ranks.group import Group
from train.ranks.shards import shard

Summing = Generator[bool, None, Array]
"""A sum over ranks: the first `next` begins it, further ones let it go on, as far as it can, and what it returns is the sum. It yields
whether younger ones may go on as well: allgathers must begin in one order on all ranks."""


@dataclass
class Node:
    """The sum of 2^level samples' vectors from place `first` on. `value` is this node's own: it may be written to."""

    first: int
    level: int
    value: Array


class Tree:
    """Nodes that cover neighbouring places, from the left to the right; siblings are added up as they come."""

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self.nodes: list[Node] = []
        for node in nodes:
            self.add(node)

    def add(self, node: Node) -> None:
        """The next node to the right."""
        self.nodes.append(node)
        while len(self.nodes) > 1 and siblings(*self.nodes[-2:]):
            right = self.nodes.pop()
            left = self.nodes[-1]
            left.value += right.value
            left.level += 1

    def total(self) -> Array:
        """The sum of all, once the last sample of the batch is among them."""
        *others, last = self.nodes
        value = last.value
        for node in reversed(others):
            value = node.value + value
        return value


def siblings(left: Node, right: Node) -> bool:
    """Whether the two are the halves of one node."""
    return (
        left.level == right.level
        and left.first % (2 << left.level) == 0
        and right.first == left.first + (1 << left.level)
    )


def cover(places: Iterable[int]) -> list[tuple[int, int]]:
    """The nodes, as (first, level), that neighbouring places add up to."""
    return [(node.first, node.level) for node in Tree(Node(place, 0, 0) for place in places).nodes]


def summing(
    group: Group, nodes: Sequence[Node], covers: Sequence[Sequence[tuple[int, int]]], length: int, like: Array
) -> Summing:
    """The sum of all ranks' nodes, flat [length]; every rank has it. `nodes` are this rank's, `covers` says which each rank has,
    `like` is an array of their kind.

    By reduce-scatter and allgather: each rank gets one piece of all nodes, adds it up in the tree's order, and hands out the sum.
    Where each rank has one node, as many numbers travel as in a ring allreduce; with k nodes the first half is k times as much.
    """
    if group.size == 1:
        yield False
        return Tree(nodes).total()
    xp = xp_of(like)
    pieces = [shard(length, rank, group.size) for rank in range(group.size)]
    sizes = [len(piece) for piece in pieces]
    mine = sizes[group.rank]
    with group.aside():
        empty = xp.empty(0, like.dtype)
        parts = [xp.concatenate([node.value[p.start : p.stop] for node in nodes]) if nodes else empty for p in pieces]
        came = group.exchange(parts, [mine * len(theirs) for theirs in covers])
    yield False
    while not came.done():
        yield False
    with group.aside():
        tree = Tree(
            Node(first, level, values)
            for theirs, part in zip(covers, came.value, strict=True)
            for (first, level), values in zip(theirs, part.reshape(len(theirs), mine), strict=True)
        )
        everything = group.allgather(tree.total(), sizes)
    while not everything.done():
        yield True
    return everything.value


def allreducing(group: Group, array: Array) -> Summing:
    """The sum of all ranks' flat arrays, as the library adds them up."""
    with group.aside():
        total = group.allreduce(array)
    yield True
    while not total.done():
        yield True
    return total.value


def finish(group: Group, begun: Sequence[Summing], found: dict[int, Array]) -> list[Array]:
    """The sums, when all are there; `found` may hold some already, by number."""
    with group.timed():
        start = time.perf_counter()
        while not advance(begun, found):
            group.pause(time.perf_counter() - start)
    return [found[i] for i in range(len(begun))]


def advance(begun: Sequence[Summing], found: dict[int, Array]) -> bool:
    """Let sums that have begun go on, as far as they can; what is `found`, by number. Whether all are."""
    for i, each in enumerate(begun):
        if i not in found:
            try:
                if not next(each):
                    return False
            except StopIteration as end:
                found[i] = end.value
    return len(found) == len(begun)


def flat(arrays: Sequence[Array]) -> Array:
    """All arrays one after the other, copied."""
    return xp_of(arrays[0]).concatenate([array.ravel() for array in arrays])
