"""The gradients of one player's turn in a few flat buckets, each of which is sent as soon as its last gradient is there.

Where what travels goes on by itself (NCCL on GPUs), that is while the last of a rank's samples goes backwards: the engine tells of
every parameter whose gradient is complete (autograd/mode.py: Watcher), and a bucket that is full begins its way over the ranks beside
the backward. MPI does nothing unasked, and asking after every gradient cost more than it hid (docs/ranks.md), so on CPUs all
buckets begin at the backward's end. What is sent together is the same on all ranks: the order in which rank 0's gradients
were complete in the turn before. It changes no bit: each number's sum is by itself, in the samples' order (sums.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence

from autograd import Tensor
from autograd.mode import watched
from kernels.device import Array
from train.ranks.group import Group
from train.ranks.sums import Node, Summing, Tree, advance, allreducing, finish, flat, summing

MOST = 1 << 22
"""Numbers of a bucket, 16 MB, but for its last parameter."""

Covers = Sequence[Sequence[tuple[int, int]]]


class Buckets:
    """One turn: `sample` by sample, then `send`, then `finish`.

    parameters   the player's, of which some may have no gradient: zeros travel in its place
    order        the numbers of all of them, as they were complete the last time (`arrived`); at first any
    covers       which nodes each rank will have (sums.py); None where the library is to add up one vector of each rank
    """

    def __init__(
        self, group: Group, parameters: Sequence[Tensor], order: Sequence[int], covers: Covers | None = None
    ) -> None:
        self.group, self.covers = group, covers
        self.numbers = {p: i for i, p in enumerate(parameters)}
        self.buckets = cut([parameters[i] for i in order])
        self.place = {p: i for i, bucket in enumerate(self.buckets) for p in bucket}
        self.missing = [len(bucket) for bucket in self.buckets]  # gradients of the last sample
        self.trees = [Tree() for _ in self.buckets]
        self.begun: list[Summing] = []
        self.found: dict[int, Array] = {}
        self.arrived: dict[Tensor, int] = {}  # the number of each, in the order in which their gradients were complete
        self.number = 0  # of the sample at hand

    @contextlib.contextmanager
    def sample(self, number: int, last: bool) -> Iterator[None]:
        """Within this context a sample's gradients come; `number` is its own in the batch, `last` if it is this rank's last one."""
        self.number, self.arrived = number, {}
        with watched(self if last and self.group.unasked else None):
            yield
        self.arrived |= {p: i for p, i in self.numbers.items() if p.arrived and p not in self.arrived}
        for bucket in range(len(self.begun), len(self.buckets)):
            self.take(bucket)

    def expect(self, leaves: Collection[Tensor]) -> None:
        """What has come already, and will not come again, is complete."""
        for p in self.numbers:
            if p.arrived and p not in leaves and p not in self.arrived:
                self.complete(p)

    def complete(self, leaf: Tensor) -> None:
        """Begin with the buckets that are full now, in their order; go on with those that have begun."""
        if leaf not in self.numbers:
            return
        if leaf in self.arrived:
            raise RuntimeError("data parallel: a gradient came after its parameter's was complete: one backward a lane")
        self.arrived[leaf] = self.numbers[leaf]
        self.missing[self.place[leaf]] -= 1
        while len(self.begun) < len(self.buckets) and not self.missing[len(self.begun)]:
            self.take(len(self.begun))
            self.begin()
        with self.group.timed():
            advance(self.begun, self.found)

    def take(self, bucket: int) -> None:
        """Add the gradients of a sample to those of the ones before."""
        gradients = [p.device.xp.zeros(p.shape, p.dtype) if p.grad is None else p.grad for p in self.buckets[bucket]]
        self.trees[bucket].add(Node(self.number, 0, flat(gradients)))

    def begin(self) -> None:
        """Send the next bucket."""
        tree, parameters = self.trees[len(self.begun)], self.buckets[len(self.begun)]
        like, length = parameters[0].data, sum(p.size for p in parameters)
        if self.covers is not None:
            each = summing(self.group, tree.nodes, self.covers, length, like)
        else:
            zeros = parameters[0].device.xp.zeros
            each = allreducing(self.group, tree.nodes[0].value if tree.nodes else zeros(length, like.dtype))
        with self.group.timed():
            next(each)
            self.begun.append(each)
            advance(self.begun, self.found)

    def send(self) -> None:
        """Begin with all that have not begun: what a rank without samples has to tell, and what was not full before."""
        while len(self.begun) < len(self.buckets):
            self.begin()

    def finish(self) -> dict[Tensor, Array]:
        """The sums of all ranks' gradients, by parameter. To be asked for when all ranks have sent."""
        sums: dict[Tensor, Array] = {}
        for bucket, found in zip(self.buckets, finish(self.group, self.begun, self.found), strict=True):
            start = 0
            for p in bucket:
                sums[p] = found[start : start + p.size].reshape(p.shape)
                start += p.size
        return sums


def cut(parameters: Sequence[Tensor]) -> list[list[Tensor]]:
    """Neighbours together, until a bucket has enough."""
    buckets: list[list[Tensor]] = []
    size = MOST
    for p in parameters:
        if size >= MOST:
            buckets.append([])
            size = 0
        buckets[-1].append(p)
        size += p.size
    return buckets
