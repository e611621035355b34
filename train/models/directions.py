"""How two directions share a machine. What they compute is train/models/cyclegan.py's; here is who runs it when.

    lanes                  on the CPU each direction has a forward and a backward of its own, one direction after the other
                           or each on a thread (autograd/lanes.py)
    lockstep               on a GPU, where launches cost most, both directions go forward together: what the two ask for at a
                           time becomes one launch per layer (nn/stacked.py), and one backward serves both
    gradient accumulation  one large batch in the memory of a small one: its gradients are added up, then followed once
    graph                  a step is recorded once and replayed from then on (graphed_step.py)
    critic steps           the discriminators may learn several times in a step, each time from pictures of their own

A direction's losses are a generator function. `yield network, pictures` asks for a forward, and is answered with the outputs;
what it returns are the losses. So the same lines run alone or in lockstep.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autograd import Tensor
from autograd.lanes import lanes, side_by_side_pays
from autograd.ops import add
from kernels.device import Array, from_host, repeated, to_host, xp_of
from nn.network import Network
from nn.stacked import Pictures, StackedPair, as_one_batch
from train.models.image_pool import Chosen, ImagePool
from train.models.model import MicroBatch, Model, Turns, refuse_nonfinite

Losses = Generator[tuple[Network, Pictures], Pictures, dict[str, Tensor]]
"""What a direction's losses are: it asks for forwards, is sent outputs, and returns losses by name."""


@dataclass
class Direction:
    """One way round, there and back again. Everything about it is called by `name`, as in the reference implementation."""

    name: str
    gen: Network
    back_gen: Network
    disc: Network  # of the domain it leads to
    pool: ImagePool  # of that domain's fakes
    real: Tensor  # [N,H,W,C], of the domain it starts from
    target: Tensor  # [N,H,W,K], real ones of the domain it leads to
    lambda_real: float
    lambda_target: float
    pair: tuple[
        Tensor, ...
    ] = ()  # further pictures of both domains that are known to belong together, if there are any
    fake: Array = None  # [N,H,W,K], made of `real` in the generators' turn, for the discriminators' turn
    scores: tuple[Array, ...] = ()  # the discriminator's, of `target` and of fakes


def micro_batches(pictures: Sequence[Array], count: int) -> Iterator[tuple[MicroBatch, list[Array]]]:
    """Pictures [N,H,W,C] of both domains, and whatever else there is of as many, in at most `count` batches of ceil(N / count)."""
    images = len(pictures[0])
    size = -(-images // count)
    for number, start in enumerate(range(0, images, size)):
        stop = min(start + size, images)
        micro_batch = MicroBatch((stop - start) / images, start == 0, stop == images, number)
        yield micro_batch, [x[start:stop] for x in pictures]


class TwoDirections(Model):
    """A model with two generators and two discriminators, which plays each player's turn on two directions at once."""

    gen_ab: Network
    gen_ba: Network
    disc_a: Network
    disc_b: Network
    pool_a: ImagePool
    pool_b: ImagePool

    @abstractmethod
    def turns(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        """One update of each player; the weighted losses."""

    @abstractmethod
    def judge_again(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        """A further update of the discriminators alone, from pictures that they have not seen in this step; their losses."""

    def make_optimizers(self) -> None:
        """Both generators with one Adam, both discriminators with another."""
        super().make_optimizers()
        self.pairs = StackedPair(self.gen_ab, self.gen_ba), StackedPair(self.disc_b, self.disc_a)

    def whole_step(self, *pictures: Array) -> list[tuple[str, float, Tensor]]:
        """With --n_critic there are n batches: the generators learn from the first, the discriminators from each in turn,
        and their losses are means. With --accumulate each is shown in parts."""
        losses = []
        for turn, batch in micro_batches(pictures, self.config.n_critic):
            turns = self.turns if turn.first else self.judge_again
            for micro_batch, part in micro_batches(batch, self.config.accumulate):
                self.micro_batch = micro_batch
                for name, loss in self.played(turns(*map(self.tensor, part))).items():
                    losses.append((name, micro_batch.share * (turn.share if name.startswith("D_") else 1.0), loss))
        if self.ema is not None:
            self.ema.update()
        return losses

    def capturable(self) -> bool:
        """Whether the pools swap on the device; see device_pool.py."""
        return self.pool_a.swaps_on_device and self.pool_b.swaps_on_device

    def descend(  # type: ignore[override]
        self, player: str, losses_of: Callable[[Direction], Losses], directions: Sequence[Direction], /
    ) -> dict[str, Tensor]:
        """Leave in one player's networks the gradient of the sum of its losses in all directions; returns these."""

        def down(*some: Direction) -> dict[str, Tensor]:
            losses = self.lockstep([losses_of(d) for d in some])
            refuse_nonfinite(losses)
            total, share = add(*losses.values()), self.micro_batch.share
            total.backward(None if share == 1 else xp_of(total.data).full_like(total.data, share))
            return losses

        losses: dict[str, Tensor] = {}
        if self.device.name == "cpu":
            for own in lanes(down, directions, side_by_side=self.small(directions[0].real)):
                losses |= own
        else:
            losses = down(*directions)
        return losses

    def tell(self, player: str, /, *asked: Any) -> list[Array]:
        """The fakes, before the discriminators' turn: the pools hold everybody's."""
        return [to_host(d.fake) for d in asked[1]] if player == "d" and self.config.pool_size else []

    def hear(self, told: Sequence[list[Array]], own: Sequence[int], asked: Sequence[tuple[Any, ...]], /) -> None:
        """Let the pools choose for the whole batch, in its order; each sample gets its part."""
        starts = [0]
        for fakes in told:
            starts.append(starts[-1] + len(fakes[0]))
        for k, pool in enumerate((self.pool_b, self.pool_a)):  # as two_directions() has them
            chosen = pool.query(self.device.asarray(np.concatenate([fakes[k] for fakes in told]), dtype=self.dtype))
            for i, (_, _, directions) in zip(own, asked, strict=True):
                directions[k].pool = Chosen(chosen[starts[i] : starts[i + 1]])

    def lockstep(self, running: Sequence[Losses]) -> dict[str, Tensor]:
        """The losses of all, which ask for forwards of the same kind at a time. Who ends ends with the others."""
        losses: dict[str, Tensor] = {}
        asked = [next(each) for each in running]
        while asked:
            answers, asked = self.answers(asked), []
            for each, outputs in zip(running, answers, strict=True):
                try:
                    asked.append(each.send(outputs))
                except StopIteration as end:
                    losses |= end.value
        return losses

    def answers(self, asked: Sequence[tuple[Network, Pictures]]) -> Sequence[Pictures]:
        """What the network, or the pair of networks, that was asked for makes of its pictures."""
        if len(asked) == 1:
            return [as_one_batch(*asked[0])]
        one, other = asked
        pair = next(pair for pair in self.pairs if one[0] in (pair.first, pair.second))
        return pair.each(one, other)

    def small(self, pictures: Tensor) -> bool:
        """Whether lanes pay side by side, on one thread each. wgangp draws random numbers, one lane after the other."""
        c = self.config
        return c.gan_mode != "wgangp" and side_by_side_pays(pictures.size // pictures.shape[3] * max(c.ngf, c.ndf))

    def augmented(self, d: Direction, player: str, *pictures: Tensor) -> Pictures:
        """Pictures as the discriminator is shown them: with --diffaugment changed at random, else as they are.

        What is drawn is a function of the seed, the player's step and the direction."""
        policy = self.config.diffaugment
        if not policy:
            return pictures
        from train.models.diffaugment import diffaugment

        number = self.micro_batch.number
        streams: list[np.random.Generator] = []

        def begin() -> None:
            place = ("AB".index(d.name), "gd".index(player), self.optimizers[player].steps, number)
            streams[:] = [np.random.default_rng([self.config.seed, 7, *place])]

        repeated(begin)
        return tuple(diffaugment(x, policy, lambda f: from_host(self.device, lambda: f(streams[0]))) for x in pictures)

    def keep_in_sight(self, directions: Sequence[Direction]) -> None:
        """What was made in this step, for train/run/watch.py."""
        there, back = directions
        self.seen = {"real_a": there.real.data, "fake_b": there.fake, "real_b": back.real.data, "fake_a": back.fake}
        for d in directions:
            self.seen |= dict(zip((f"D_{d.name}_real", f"D_{d.name}_fake"), d.scores, strict=False))
