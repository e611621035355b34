"""How two directions share a machine. What they compute is train/models/cyclegan.py's; here is who runs it when.

    lanes                  on the CPU each direction has a forward and a backward of its own, one direction after the other
                           or each on a thread (autograd/lanes.py)
    lockstep               on a GPU, where launches cost most, both directions go forward together: what the two ask for at a
                           time becomes one launch per layer (nn/stacked.py), and one backward serves both
    gradient accumulation  one large batch in the memory of a small one: its gradients are added up, then followed once
    CUDA graph             on a GPU a step is recorded once and replayed from then on, because Python takes longer to launch
                           its kernels than they take to run

A direction's losses are a generator function. `yield network, pictures` asks for a forward, and is answered with the outputs;
what it returns are the losses. So the same lines run alone or in lockstep.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from autograd import Tensor
from autograd.lanes import lanes, side_by_side_pays
from autograd.ops import add
from kernels.device import Array, xp_of
from nn.network import Network
from nn.stacked import Pictures, StackedPair, as_one_batch
from train.models.image_pool import ImagePool
from train.models.model import Model, refuse_nonfinite

if TYPE_CHECKING:
    from kernels.gpu.cuda_graph import Control, Graph

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
    fake: Array = None  # [N,H,W,K], made of `real` in the generators' turn, for the discriminators' turn
    scores: tuple[Array, ...] = ()  # the discriminator's, of `target` and of fakes


@dataclass(frozen=True)
class MicroBatch:
    """A part of a step's batch. Gradients are forgotten before the first and followed after the last; the losses of each,
    which are means over its pictures, count by its share of all pictures."""

    share: float = 1.0
    first: bool = True
    last: bool = True


def micro_batches(real_a: Array, real_b: Array, count: int) -> Iterator[tuple[MicroBatch, Array, Array]]:
    """Pictures [N,H,W,C] of both domains in at most `count` batches of ceil(N / count)."""
    images = len(real_a)
    size = -(-images // count)
    for start in range(0, images, size):
        stop = min(start + size, images)
        micro_batch = MicroBatch((stop - start) / images, start == 0, stop == images)
        yield micro_batch, real_a[start:stop], real_b[start:stop]


class TwoDirections(Model):
    """A model with two generators and two discriminators, which plays each player's turn on two directions at once."""

    names: ClassVar[tuple[str, ...]]
    """Of the losses."""
    gen_ab: Network
    gen_ba: Network
    disc_a: Network
    disc_b: Network
    pool_a: ImagePool
    pool_b: ImagePool
    micro_batch = MicroBatch()  # at which a step is

    @abstractmethod
    def play(self, a: Tensor, b: Tensor, /) -> dict[str, Tensor]:
        """One update of each player; the weighted losses."""

    def make_optimizers(self) -> None:
        """Both generators with one Adam, both discriminators with another."""
        super().make_optimizers()
        self.pairs = StackedPair(self.gen_ab, self.gen_ba), StackedPair(self.disc_b, self.disc_a)
        c = self.config
        # The host draws where wgangp's penalty looks; and the pools decide once for each micro-batch.
        graph = self.device.name == "cuda" and c.gan_mode != "wgangp" and c.accumulate == 1
        self.graphed = GraphedStep(self) if graph else None

    def step(self, real_a: Array, real_b: Array) -> dict[str, float]:
        """One update of both players from pictures [N,H,W,C] in [-1, 1]; returns the weighted losses by name.

        Raises NonFiniteLoss before a NaN or an infinity can reach the weights; where the step is replayed from a graph,
        into which the host cannot look, after: the last good state is then the last checkpoint.
        """
        values = dict.fromkeys(self.names, 0.0)
        if self.graphed is not None and self.graphed.ready(real_a, real_b):
            losses = self.graphed(real_a, real_b)
            refuse_nonfinite(losses)
            values |= {name: loss.item() for name, loss in losses.items()}
        else:
            for micro_batch, a, b in micro_batches(real_a, real_b, self.config.accumulate):
                self.micro_batch = micro_batch
                for name, loss in self.play(self.tensor(a), self.tensor(b)).items():
                    values[name] += micro_batch.share * loss.item()
        if self.ema is not None:
            self.ema.update()
        return values

    def update(
        self, player: str, losses_of: Callable[[Direction], Losses], directions: Sequence[Direction]
    ) -> dict[str, Tensor]:
        """Move one player's networks down the sum of its losses in all directions; returns these."""
        optimizer = self.optimizers[player]
        if self.micro_batch.first:
            optimizer.zero_grad()

        def descend(*some: Direction) -> dict[str, Tensor]:
            losses = self.lockstep([losses_of(d) for d in some])
            if not self.capturing():
                refuse_nonfinite(losses)
            total, share = add(*losses.values()), self.micro_batch.share
            total.backward(None if share == 1 else xp_of(total.data).full_like(total.data, share))
            return losses

        losses: dict[str, Tensor] = {}
        if self.device.name == "cpu":
            for own in lanes(descend, directions, side_by_side=self.small(directions[0].real)):
                losses |= own
        else:
            losses = descend(*directions)
        if self.micro_batch.last:
            optimizer.step()
        return losses

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

    def capturing(self) -> bool:
        """Whether the step is being recorded: then nothing on the device may be looked at."""
        if self.device.name == "cpu":
            return False
        from kernels.gpu.cuda_graph import capturing

        return capturing()

    def small(self, pictures: Tensor) -> bool:
        """Whether lanes pay side by side, on one thread each. wgangp draws random numbers, one lane after the other."""
        c = self.config
        return c.gan_mode != "wgangp" and side_by_side_pays(pictures.size // pictures.shape[3] * max(c.ngf, c.ndf))

    def keep_in_sight(self, directions: Sequence[Direction]) -> None:
        """What was made in this step, for train/run/watch.py."""
        there, back = directions
        self.seen = {"real_a": there.real.data, "fake_b": there.fake, "real_b": back.real.data, "fake_a": back.fake}
        for d in directions:
            self.seen |= dict(zip((f"D_{d.name}_real", f"D_{d.name}_fake"), d.scores, strict=False))

    # -- what a captured step is told before each replay

    def controls(self) -> list[Control]:
        """The numbers on the device that differ from step to step."""
        adams = [adam.control for adam in self.optimizers.values() if adam.control is not None]
        return [*adams, *self.pool_a.controls(), *self.pool_b.controls()]

    def advance(self) -> None:
        """The host's part of a step: both players count it, the pools decide."""
        for optimizer in self.optimizers.values():
            optimizer.advance()
        self.pool_a.advance()
        self.pool_b.advance()

    def load_state_dict(self, state: dict) -> None:
        """Go on from `state`, exactly."""
        self.graphed = GraphedStep(self) if self.graphed is not None else None
        super().load_state_dict(state)


class GraphedStep:
    """A model's step for batches of one size, replayed from a graph that is recorded while `play` runs. The first `warm`
    steps of a size run as usual: they compile the kernels and make the pools, so there must be one at least.

    From then on the host's part of a step is to count, to draw the pools' decisions and to set the learning rate; one
    small copy takes these to the device. Make a new one where arrays of the model were replaced or its settings changed.
    """

    def __init__(self, model: TwoDirections, warm: int = 2) -> None:
        self.model, self.warm = model, warm
        self.sizes: tuple[tuple[int, ...], ...] = ()
        self.seen = 0
        self.graph: Graph | None = None
        self.inputs: list[Tensor] = []
        self.losses: dict[str, Tensor] = {}
        self.control: Control | None = None

    def ready(self, *batches: Array) -> bool:
        """Whether batches of these sizes have been seen often enough; counts this time."""
        sizes = tuple(batch.shape for batch in batches)
        if sizes != self.sizes:
            self.sizes, self.seen, self.graph = sizes, 0, None
        self.seen += 1
        return self.seen > self.warm

    def __call__(self, *batches: Array) -> dict[str, Tensor]:
        """One step; the losses, which the next step overwrites."""
        if self.graph is None:
            self.capture()
        else:
            self.model.advance()
        assert self.graph is not None and self.control is not None
        for tensor, batch in zip(self.inputs, batches, strict=True):
            tensor.data[...] = self.model.device.asarray(batch, dtype=tensor.dtype)
        self.control.send()
        self.graph.replay()
        self.changed()
        return self.losses

    def capture(self) -> None:
        """Record the step. Its Python runs, so that what the host counts and draws for the first replay is done as well."""
        from kernels.gpu.cuda_graph import Graph, joined

        model = self.model
        self.inputs = [model.tensor(model.device.xp.zeros(size, model.dtype)) for size in self.sizes]
        self.control = joined(model.device, model.controls())
        self.changed()  # so that conversions of weights are part of the graph, even if some are at hand
        graph = Graph(model.device)
        self.losses = graph.capture(lambda: model.play(*self.inputs))
        self.graph = graph

    def changed(self) -> None:
        """Tell the engine that all weights have changed."""
        for network in self.model.networks().values():
            for parameter in network.parameters():
                parameter.changed()
