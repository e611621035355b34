"""Sums whose bits do not depend on who adds what: a tree over the samples' places.

The node of level l at `first`, a multiple of 2^l, is the sum of the samples first … first + 2^l - 1: the left half plus the right
half. Samples beyond the batch do not count. Whoever has some neighbours adds up what whole nodes they make, log2 of them at
most; whoever has all nodes adds up the rest. Floating-point addition is commutative, not associative: the tree says what is
added to what, so the sum is the same however the samples are shared out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kernels.device import Array, xp_of
from train.ranks.group import Group
from train.ranks.shards import shard

BUCKET = 1 << 22
"""Numbers that are sent at a time: 16 MB. Buffers are of that size times the nodes, not of all gradients times the nodes."""


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


def sum_over_ranks(
    group: Group, nodes: Sequence[Node], covers: Sequence[Sequence[tuple[int, int]]], length: int, like: Array
) -> Array:
    """The sum of all ranks' nodes, flat [length]; every rank has it. `nodes` are this rank's, `covers` says which each rank has,
    `like` is an array of their kind.

    By reduce-scatter and allgather: of every bucket each rank gets one piece of all nodes, adds it up in the tree's order, and
    hands out the sum. Where each rank has one node, as many numbers travel as in a ring allreduce; with k nodes the first half
    is k times as much.
    """
    if group.size == 1:
        return Tree(nodes).total()
    xp = xp_of(like)
    result = xp.empty(length, like.dtype)
    for start in range(0, length, BUCKET):
        width = min(BUCKET, length - start)
        pieces = [shard(width, rank, group.size) for rank in range(group.size)]
        sizes = [len(piece) for piece in pieces]
        mine = sizes[group.rank]
        empty = xp.empty(0, like.dtype)
        parts = [
            xp.concatenate([node.value[start + p.start : start + p.stop] for node in nodes]) if nodes else empty
            for p in pieces
        ]
        came = group.exchange(parts, [mine * len(theirs) for theirs in covers])
        tree = Tree(
            Node(first, level, values)
            for theirs, part in zip(covers, came, strict=True)
            for (first, level), values in zip(theirs, part.reshape(len(theirs), mine), strict=True)
        )
        result[start : start + width] = group.allgather(tree.total(), sizes)
    return result


def flat(arrays: Sequence[Array]) -> Array:
    """All arrays one after the other, copied."""
    return xp_of(arrays[0]).concatenate([array.ravel() for array in arrays]) if arrays else np.empty(0, np.float32)
