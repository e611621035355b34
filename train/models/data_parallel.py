"""A step that several ranks take together: each works on its samples of the global batch, and all follow the same gradient.

    exact  each sample is played alone, and the gradients of all are added up in an order of their places (train/ranks/sums.py).
           The bits of losses and weights do not depend on how many ranks there are. Where a network has batch norms, a few
           neighbours are played together, always the same, and the running statistics move towards their mean.
    fast   each rank plays its samples as one batch; the library sums. The bits change with the number of ranks, and a rank's
           random numbers are drawn for its batch.

The ranks' samples move in lockstep: all have left their gradients for a player before it moves, and moves the same way everywhere.
Losses, and the fakes that go into the image pools, are told to all; so each rank holds the whole state, as one process would.
A step of one process by itself may be exact, too: then it is the one that any number of ranks goes on with.

What it costs: samples one by one instead of in batches; and where ranks have more than one sample each, the sums of several
gradients travel instead of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels.device import Array, to_host
from nn.norms import BatchNorm
from train.errors import NonFiniteLoss, UserError
from train.models.model import Losses, MicroBatch, Model, Turns
from train.ranks.buckets import Buckets
from train.ranks.group import Group
from train.ranks.shards import own, shard, turns, units
from train.ranks.sums import cover

STREAMS = 8  # names the samples' random streams: the seed's others have smaller numbers


@dataclass
class Part:
    """What is played at a time: a sample, or a rank's samples as one batch; in the middle of its turns."""

    turns: Turns
    micro_batch: MicroBatch
    number: int  # its own in the batch
    notes: list[list[tuple[Array, Array]]]  # of each batch norm
    losses: Losses | None = None
    seen: dict[str, Array] = field(default_factory=dict)


class DataParallel:
    """A model whose steps the ranks of a group take together. Raises UserError for a system that cannot."""

    def __init__(self, model: Model, group: Group, exact: bool = True) -> None:
        if type(model).turns is Model.turns:
            raise UserError(
                f"{model.program} trains in one process: it does not state its step in turns (train/models/model.py); "
                "leave out the launcher and --allreduce"
            )
        self.model, self.group, self.exact = model, group, exact
        modules = (module for network in model.networks().values() for _, module in network.named_modules())
        self.orders: dict[str, list[int]] = {}  # of each player's parameters: how their gradients were complete
        self.norms = [module for module in modules if isinstance(module, BatchNorm)]

    def places(self, count: int) -> list[int]:
        """Which samples of a step of so many this rank works on."""
        return [place for batch in self.units(count) for unit in batch.values() for place in unit]

    def units(self, count: int) -> list[dict[int, range]]:
        """The same, batch by batch of the step, and what is played together."""
        return own(count, self.model.config.n_critic, self.group.rank, self.group.size, self.model.together)

    def step(self, count: int, *pictures: Array) -> dict[str, float]:
        """One update of all players from a step's `count` samples, of which these [N,H,W,C] are this rank's, in the order of
        `places`; the weighted losses of all by name. Raises NonFiniteLoss on every rank where it befalls one."""
        model = self.model
        values = dict.fromkeys(model.names, 0.0)
        steps, first, start = model.optimizers["g"].steps, True, 0
        try:
            for batch, mine in zip(turns(count, model.config.n_critic), self.units(count), strict=True):
                parts: list[Part] = []
                for number, places in (mine if self.exact else joined(mine)).items():
                    stop = start + len(places)
                    streams = tuple(np.random.default_rng([model.config.seed, STREAMS, steps, p]) for p in places)
                    micro_batch = MicroBatch(len(places) / len(batch), number=places[0], streams=streams)
                    begin = model.turns if first else model.judge_again  # type: ignore[attr-defined]
                    part = begin(*(model.tensor(x[start:stop]) for x in pictures))
                    parts.append(Part(part, micro_batch, number, [[] for _ in self.norms]))
                    start = stop
                share = len(batch) / count
                for name, loss in self.played(parts, len(units(batch, model.together))):
                    values[name] = values.get(name, 0.0) + (share * loss if name.startswith("D_") else loss)
                if first and parts:
                    model.seen = parts[0].seen
                first = False
                self.note(parts)
        finally:
            model.micro_batch = MicroBatch()
            for norm in self.norms:
                norm.notes = None
        if model.ema is not None:
            model.ema.update()
        return values

    def played(self, parts: Sequence[Part], count: int) -> list[tuple[str, float]]:
        """Take the turns of all `count` parts in lockstep; each one's losses by their share, in the samples' order."""
        losses: list[tuple[str, float]] = []
        while True:
            asked = [self.advanced(part) for part in parts]
            player = asked[0][0] if asked and asked[0] else ""
            told = self.group.gather((player, [self.model.tell(*request) for request in asked if request]))
            player = told[0][0]  # rank 0 always has a sample
            if not player:
                return losses
            self.share(told, asked)
            losses += self.turn(player, parts, asked, count)

    def share(self, told: Sequence[tuple[str, list[list[Array]]]], asked: Sequence[tuple[Any, ...] | None]) -> None:
        """Let the model hear what was told of all samples, if it was anything."""
        everything = [arrays for _, theirs in told for arrays in theirs]
        before = sum(len(theirs) for _, theirs in told[: self.group.rank])
        if any(everything):
            self.model.hear(everything, range(before, before + len(asked)), [request for request in asked if request])

    def advanced(self, part: Part) -> tuple[Any, ...] | None:
        """Go on with a part to its next update, and return what it asks for; None at its end."""
        self.turn_to(part)
        try:
            return part.turns.send(part.losses)  # type: ignore[arg-type]  # a generator begins with None
        except StopIteration:
            return None
        finally:
            part.seen = self.model.seen

    def turn_to(self, part: Part) -> None:
        """Have the model speak of this part."""
        self.model.micro_batch, self.model.seen = part.micro_batch, part.seen
        for norm, notes in zip(self.norms, part.notes, strict=True):
            norm.notes = notes

    def note(self, parts: Sequence[Part]) -> None:
        """Move the running statistics of batch norms towards the mean of what all parts noted."""
        if not self.norms:
            return
        own = [[[tuple(map(to_host, note)) for note in notes] for notes in part.notes] for part in parts]
        every = [part for theirs in self.group.gather(own) for part in theirs]
        for norm, *notes in zip(self.norms, *every, strict=True):
            for forwards in zip(*notes, strict=True):  # the same forward in all parts
                norm.move(*(norm.running_mean.device.asarray(np.mean(x, axis=0)) for x in zip(*forwards, strict=True)))

    def turn(
        self, player: str, parts: Sequence[Part], asked: Sequence[tuple[Any, ...] | None], count: int
    ) -> list[tuple[str, float]]:
        """One player's update, from all `count` parts of all ranks; their losses by their share."""
        parameters = self.model.optimizers[player].parameters
        covers = [cover(shard(count, rank, self.group.size)) for rank in range(self.group.size)]
        order = self.orders.get(player, range(len(parameters)))
        buckets = Buckets(self.group, parameters, order, covers if self.exact else None)
        found: list[dict[str, float]] = []
        trouble = ""
        for part, request in zip(parts, asked, strict=True):
            assert request is not None
            self.turn_to(part)
            self.model.optimizers[player].zero_grad()
            with buckets.sample(part.number, part is parts[-1]):
                try:
                    if not trouble:  # else what is sent means nothing, and nobody follows it
                        part.losses = self.model.descend(*request)
                except NonFiniteLoss as error:
                    trouble = str(error)
            part.seen = self.model.seen
            losses = part.losses or {}
            found.append({name: part.micro_batch.share * loss.item() for name, loss in losses.items()})
        buckets.send()
        every = self.group.gather((found, trouble, np.array([*buckets.arrived.values()], np.int32).tobytes()))
        sums = buckets.finish()
        for rank, (_, why, _) in enumerate(every):
            if why:
                raise OnRank(why, rank)
        arrived = [np.frombuffer(numbers, np.int32).tolist() for theirs, _, numbers in every if theirs]
        if len({frozenset(numbers) for numbers in arrived}) > 1:
            raise RuntimeError(f"data parallel: samples disagree on which parameters of {player!r} have a gradient")
        self.orders[player] = [*arrived[0], *sorted(set(range(len(parameters))) - set(arrived[0]))]
        for i, p in enumerate(parameters):
            p.grad = sums[p] if i in arrived[0] else None
        self.model.follow(player)
        return [item for theirs, _, _ in every for sample in theirs for item in sample.items()]


def joined(parts: dict[int, range]) -> dict[int, range]:
    """All as one, which has the first's number."""
    numbers = list(parts)
    return {numbers[0]: range(parts[numbers[0]].start, parts[numbers[-1]].stop)} if parts else {}


class OnRank(NonFiniteLoss):
    """A loss that is no number, on a rank; all have heard of it."""

    def __init__(self, text: str, rank: int) -> None:
        super().__init__(text)
        self.rank = rank
