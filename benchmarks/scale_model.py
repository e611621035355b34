"""The model of a step over ranks of one machine: of what parts it consists, and what they cost where the machine is crowded.

A step of n ranks on c cores (one thread a rank; a rank has s images at most) is

    work        (f + t s) b(n), processor seconds. f, t: from steps of two sizes on one rank. b(n): how much longer the same work takes
                while n ranks compute and none talks; measured with 1 and 2, along a line through these up to c
    meetings    n <= c: the work of who has most. n > c: what passes until n ranks that need so many seconds of a core each have met,
                g's turn and d's, by a measurement in which they do nothing but count processor time and meet: who waits leaves its core
                to others sooner or later, and how soon depends on the system. There b is measured, too: ranks that take turns on a
                core find its cache full of another's numbers
    calls       6 small gathers, and what one of them takes longer because it tells all of the fakes; n > c: 4, for 2 are the meetings'
    gradients   of its k partial sums a rank sends the other ranks' pieces, and then its piece of the sum to all. Up to c cores 2 ranks'
                bytes per second and busy core are those of n ranks; beyond, a sum is measured while none computes

So 3 and 4 ranks are predicted from 1 and 2 where they have cores of their own, and else with the help of measurements in which no step
is taken. What travels beside the backward counts as if it travelled after it: on CPUs it is the same cores that copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.ranks.shards import shard
from train.ranks.sums import cover

GATHERS, TURNS = 6, 2  # of a step of CycleGAN: two a player, one at the end of the turns, one after the step
Meet = Callable[[int, Sequence[Sequence[float]]], float]
"""Of a number of ranks, and of each turn each rank's seconds of work: the seconds until they have met after every turn."""


@dataclass
class Parts:
    """What one number of ranks told of itself: processor seconds of a pair of images; seconds of a small gather, of what is more for an
    image's fakes, and of a sum; numbers of all gradients, and which share of the work is in each player's turn."""

    pair: float
    gather: float
    fakes: float
    sum: float
    numbers: int
    shares: Sequence[float]


class Model:
    """Seconds of a step by the number of ranks; see this file's head.

    once, image   f and t
    parts         by the number of ranks: 1, 2, and those that share cores
    """

    def __init__(self, once: float, image: float, parts: Mapping[int, Parts], cores: int, meet: Meet) -> None:
        self.once, self.image, self.parts, self.cores, self.meet = once, image, parts, cores, meet

    @classmethod
    def fit(cls, steps: Mapping[int, float], parts: Mapping[int, Parts], cores: int, meet: Meet) -> Model:
        """From processor seconds of one rank's steps, by their images."""
        few, many = min(steps), max(steps)
        image = (steps[many] - steps[few]) / (many - few)
        return cls(max(0.0, steps[few] - image * few), image, parts, cores, meet)

    def step(self, n: int, batch: int) -> float:
        """Of n ranks, with a global batch of so many."""
        return self.meetings(n, batch) + self.comm(n, batch)

    def slower(self, n: int) -> float:
        """b(n): how much longer the same work takes while n ranks are busy."""
        if n > self.cores or n in self.parts:
            return self.parts[n].pair / self.parts[1].pair
        return 1 + (n - 1) * (self.slower(2) - 1)

    def meetings(self, n: int, batch: int) -> float:
        """Seconds of work, and of waiting for those who have more of it."""
        work = [(self.once + self.image * len(shard(batch, rank, n))) * self.slower(n) for rank in range(n)]
        if n <= self.cores:
            return max(work)
        return self.meet(n, [[share * own for own in work] for share in self.parts[1].shares])

    def comm(self, n: int, batch: int) -> float:
        """Seconds of small gathers and of gradients."""
        if n == 1:
            return 0.0
        if n > self.cores:
            own = self.parts[n]
            small = (GATHERS - TURNS) * own.gather + own.fakes * batch
            return small + own.sum * sent(n, batch, own.numbers) / sent(n, n, own.numbers)
        two = self.parts[2]
        rate = sent(2, 2, two.numbers) / (max(two.sum, 1e-9) * min(2, self.cores))  # bytes per second and core
        small = (
            GATHERS * two.gather * math.log2(n) + two.fakes * batch * 2 * (n - 1) / n
        )  # each rank gets what others made
        return small + sent(n, batch, two.numbers) / (rate * n)

    def told(self) -> str:
        """What the fit found."""
        crowded = "; ".join(
            f"{n} ranks {self.slower(n):.2f} times the work, {1e3 * self.parts[n].gather:.2f} ms a gather, {1e3 * self.parts[n].sum:.1f} ms a sum"
            for n in sorted(self.parts) if n > 1
        )  # fmt: skip
        return f"fit: {1e3 * self.once:.1f} ms a step and {1e3 * self.image:.1f} ms an image on one rank, {self.cores} cores; {crowded}"


def sent(n: int, batch: int, numbers: int) -> float:
    """Bytes that n ranks send each other for the gradients of a step, all together."""
    nodes = sum(len(cover(shard(batch, rank, n))) for rank in range(n))
    return 4.0 * numbers * (nodes * (n - 1) / n + (n - 1))


def parts_of(found: Mapping[str, Any]) -> Parts:
    """Of what a worker printed."""
    return Parts(**{name: found[name] for name in Parts.__dataclass_fields__})
