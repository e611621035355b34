"""What a run (train/run/trainer.py) asks of a system, and what CycleGAN and its relatives share.

A system is a subclass of `Model` and a class of settings (train/config/settings.py). It makes its networks and optimisers, and says
what a step is; computing in a precision, saving and going on from what was saved come with the base.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from autograd import Tensor
from autograd.ops import add
from kernels.device import Array, Device, capturing, from_host, get_device, repeated, to_host, xp_of
from kernels.dispatch import implementation
from nn.network import Network
from nn.optim import Adam
from train.config.settings import Config
from train.errors import NonFiniteLoss

if TYPE_CHECKING:
    from train.models.ema import EMA
    from train.models.graphed_step import GraphedStep
    from train.models.quantities import Quantity

Rows = list[dict[str, np.ndarray]]
Losses = dict[str, Tensor]
Turns = Generator[tuple[Any, ...], Losses, Losses]
"""A step as the system states it: `yield player, …` asks for that player's update, in the words of the system's `descend`, and is
answered with the losses that it followed; what it returns are all losses."""


class Pair(Protocol):
    """A picture of each domain, [H,W,C] in [-1, 1]."""

    @property
    def a(self) -> np.ndarray: ...
    @property
    def b(self) -> np.ndarray: ...


@dataclass(frozen=True)
class MicroBatch:
    """A part of a step's batch. Gradients are forgotten before the first and followed after the last; the losses of each,
    which are means over its pictures, count by its share of all pictures.

    `number` tells parts apart. `streams`: one of random numbers for each picture, where these do not come from the model's.
    """

    share: float = 1.0
    first: bool = True
    last: bool = True
    number: int = 0
    streams: tuple[np.random.Generator, ...] = ()

    @property
    def place(self) -> tuple[int, ...]:
        """What a random stream is named after beside the step: nothing, or its number where samples have streams of their own."""
        return (self.number,) if self.streams else ()

    def draw(self, stream: np.random.Generator, method: str, count: int, *shape: int) -> np.ndarray:
        """[count,*shape] random numbers for as many pictures: from each one's own stream, or all from `stream`."""
        if not self.streams:
            return getattr(stream, method)((count, *shape))
        return np.stack([getattr(own, method)(shape) for own in self.streams])


class Model(ABC):
    """The networks and optimisers of a system."""

    program: ClassVar[str]
    """The module that trains it: `python -m program`. Checkpoints name it, and train/models/registry.py finds the class by it."""
    settings: ClassVar[type[Config]] = Config
    """The class of its settings."""
    directions: ClassVar[tuple[str, ...]] = ("AtoB", "BtoA")
    """What `translate` knows: "AtoB", "BtoA" or both."""
    metric: ClassVar[tuple[str, ...]] = ("cycle_A", "cycle_B")
    """The losses whose sum says how good an epoch was; the plateau policy watches it."""
    replays: ClassVar[bool] = False
    """Whether the step's Python does the same every time but for what goes through `drawn`, `from_host` and `repeated`: then on
    the CPU, too, it runs for the first two steps alone (see `turns`). Each class says so of itself; it is not inherited."""
    plain_generators: ClassVar[bool] = False
    """Whether a translation is nothing but the forward of gen_ab, gen_ba or a lone generator: then files of weights hold it,
    in other formats too, and large pictures go in strips. Else this class itself translates."""
    legend: ClassVar[Mapping[str, str]]
    """What the columns of the sample grid show, for the report."""

    seen: dict[str, Array]
    """What the last step made, for train/run/watch.py: real_a, fake_b, … and the discriminators' scores D_A_real, …"""

    players: dict[str, dict[str, Network]]
    """Who learns together, networks by name: "g", the generators, and "d", the discriminators."""
    optimizers: dict[str, Adam]
    """Each player's."""
    ema: EMA | None = None
    """Averages of the generators over the steps, where --ema asks for them."""
    graphed: GraphedStep | None = None
    """The step as a graph, where the system states it in turns."""
    names: ClassVar[tuple[str, ...]] = ()
    """Of the losses, where there are some that a step may lack: these are 0."""
    micro_batch = MicroBatch()  # at which a step is
    together = 1
    """How many pictures must be played together: several where a batch norm looks at them. A batch that ranks share is cut so."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.device = get_device(config.device)
        self.dtype = storage(config.precision, self.device)
        self.seen = {}

    # -- what a system says of itself

    @abstractmethod
    def translate(self, pictures: Array, direction: str = "AtoB", /) -> np.ndarray:
        """Pictures [N,H,W,C] of one domain as the other, on the host."""

    def takes_code(self, direction: str) -> bool:
        """Whether `translate` takes codes in this direction, as its third argument.

        Then there are `codes(count, seed=0)`, codes to look at, and `style(real_b, fake_a)`, those that lead back to real_b.
        """
        return False

    @abstractmethod
    def sample_rows(self, pairs: Sequence[Pair], /) -> Rows:
        """The sample grid's rows: a picture [H,W,C] under each column's label."""

    @abstractmethod
    def run_networks(self, real_a: Array, real_b: Array, /) -> None:
        """Every network at least once on these pictures, for train/run/diagnose.py."""

    @abstractmethod
    def charts(self) -> list[Quantity]:
        """The report's charts of the losses."""

    # -- the step in turns

    def turns(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        """The step, in which each player's update is asked for. So it can be taken by several ranks together
        (train/models/data_parallel.py), and on a GPU be replayed from a CUDA graph (train/models/graphed_step.py). A system
        that has no such form says in `step` what a step is, trains in one process, and launches its kernels one by one.

        pictures [N,H,W,C] in [-1, 1]; `pair`: further ones of A and of B that belong together, as many, where some are known.

        A graph repeats what this does on the device; on the CPU it is a list of loops (kernels/cpu/recording.py), for systems
        that say `replays`. It is made in the second step of a picture's size. While a debugger, a tracer or an observer of
        layers is at work, the CPU's steps are taken as they are written here. What the host draws or decides anew in each step goes through `drawn`,
        or through `from_host` and `repeated` of kernels/device.py.
        """
        raise NotImplementedError(f"{self.program} says neither in `turns` nor in `step` what a step is")

    def step(self, real_a: Array, real_b: Array, /, *pair: Array) -> dict[str, float]:
        """One update of all players from pictures [N,H,W,C] in [-1, 1]; the weighted losses by name. `pair`: see `turns`.

        Raises NonFiniteLoss before a NaN or an infinity can reach the weights; where the step is replayed from a graph,
        into which the host cannot look, after: the last good state is then the last checkpoint.
        """
        pictures = (real_a, real_b, *pair)
        if self.graphed is not None and self.graphed.ready(*pictures):
            losses = self.graphed(*pictures)
            refuse_nonfinite({name: value for name, _, value in losses})
        else:
            played = self.whole_step(*pictures)
            told = fetched([loss for *_, loss in played])
            losses = [(name, share, value) for (name, share, _), value in zip(played, told, strict=True)]
        values = dict.fromkeys(self.names, 0.0)
        for name, share, value in losses:
            values[name] = values.get(name, 0.0) + share * value
        return values

    def whole_step(self, *pictures: Array) -> list[tuple[str, float, Tensor]]:
        """All turns, and what else belongs to a step; each loss by name and with the share by which it counts."""
        losses = [(name, 1.0, loss) for name, loss in self.play(*map(self.tensor, pictures)).items()]
        if self.ema is not None:
            self.ema.update()
        return losses

    def play(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Losses:
        """One update of each player, here and now; the weighted losses."""
        return self.played(self.turns(a, b, *pair))

    def capturable(self) -> bool:
        """Whether the next step would do on the device what this one did, so that it can be recorded."""
        return True

    def drawn(self, draw: Callable[[], np.ndarray]) -> Tensor:
        """What the host draws anew in each step, on the device and in its precision."""
        if self.device.name == "cpu":
            return self.tensor(from_host(self.device, lambda: draw().astype(self.dtype)))
        return self.tensor(from_host(self.device, lambda: draw().astype(np.float32)))

    def played(self, turns: Turns) -> Losses:
        """Take the turns as they come; all losses."""
        losses: Losses | None = None
        while True:
            try:
                asked = turns.send(losses)  # type: ignore[arg-type]  # a generator begins with None
            except StopIteration as end:
                return end.value
            losses = self.update(*asked)

    def update(self, player: str, /, *asked: Any) -> Losses:
        """One player's update; the losses that it followed."""
        if self.micro_batch.first:
            self.optimizers[player].zero_grad()
        losses = self.descend(player, *asked)
        if self.micro_batch.last:
            self.follow(player)
        return losses

    def descend(self, player: str, losses_of: Callable[[], Losses], weight: float = 1.0, /) -> Losses:
        """Leave in the parameters the gradient of the sum of these losses times `weight`, by the micro-batch's share."""
        losses = losses_of()
        refuse_nonfinite(losses)
        total, factor = add(*losses.values()), weight * self.micro_batch.share
        total.backward(None if factor == 1 else xp_of(total.data).full_like(total.data, factor))
        return losses

    def follow(self, player: str) -> None:
        """Move a player against its gradients."""
        self.optimizers[player].step()

    def tell(self, player: str, /, *asked: Any) -> list[Array]:
        """What all ranks must know of a sample before that player's update of it, as arrays [N,…]."""
        return []

    def hear(  # noqa: B027  most systems have nothing to hear
        self, told: Sequence[list[Array]], own: Sequence[int], asked: Sequence[tuple[Any, ...]], /
    ) -> None:
        """What was told of all samples, in their order; told[own[i]] is of what is asked[i] here."""

    # -- what all have in common

    def networks(self) -> dict[str, Network]:
        """All networks by name."""
        return {name: network for networks in self.players.values() for name, network in networks.items()}

    def shown(self, name: str) -> Network:
        """A network as others are to see it, and as it is saved: of the generators their average, if there is one."""
        return self.ema.shown(name) if self.ema is not None and name in self.ema.networks else self.networks()[name]

    def start(self) -> None:
        """Call it when `players` has all networks."""
        if self.config.ema:
            from train.models.ema import EMA

            self.ema = EMA(self.players["g"], self.config.ema)
        self.make_optimizers()

    def make_optimizers(self) -> None:
        """One Adam for each player."""
        c = self.config
        self.optimizers = {
            player: Adam([p for network in networks.values() for p in network.parameters()], c.lr, (c.beta1, 0.999))
            for player, networks in self.players.items()
        }
        self.set_lr(c.lr)
        self.graphed = None
        warm = {"cuda": 2, "cpu": 1 if "replays" in vars(type(self)) and self.dtype == np.float32 else 0}.get(
            self.device.name
        )
        if warm and type(self).turns is not Model.turns:
            from train.models.graphed_step import GraphedStep

            self.graphed = GraphedStep(self, warm)

    def set_lr(self, lr: float) -> None:
        """The generators' learning rate; that of the discriminators, if --lr_D gives them one of their own, keeps its ratio to it."""
        c = self.config
        for player, optimizer in self.optimizers.items():
            optimizer.lr = lr * (c.lr_D / c.lr if player == "d" and c.lr_D else 1.0)

    def touched(self) -> list[Any]:
        """Of the state what every step changes before it changes anything else: the counts of the optimisers, and where
        the random streams are. As long as it is the same, so is the state: an exception then costs nothing."""
        streams = [part for part in vars(self).values() if isinstance(part, np.random.Generator)]
        counts = [optimizer.steps for optimizer in self.optimizers.values()]
        return [*counts, *(stream.bit_generator.state for stream in streams)]

    def tensor(self, data: Any) -> Tensor:
        """`data` on this model's device, in its precision."""
        if self.dtype.name != "bfloat16":
            return Tensor(self.device.asarray(data, dtype=self.dtype), device=self.device)
        if str(getattr(data, "dtype", "")) != "bfloat16":  # rounded on the device, which is faster at it
            data = implementation("cast", self.device).forward(self.device.asarray(data, np.float32), dtype=self.dtype)
        return Tensor(self.device.asarray(data), device=self.device)

    def astype(self, dtype: str) -> Self:
        """Compute in "float32" or "float64" from now on, with fresh optimisers; returns this model."""
        self.dtype = np.dtype(dtype)
        averages = self.ema.networks.values() if self.ema is not None else ()
        for network in (*self.networks().values(), *averages):
            network.astype(dtype)
        self.make_optimizers()
        return self

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as host arrays and plain values."""
        state: dict[str, Any] = {
            "networks": {name: self.shown(name).state_dict() for name in self.networks()},
            "optimizers": {player: optimizer.state_dict() for player, optimizer in self.optimizers.items()},
        }
        return state | ({"averages": self.ema.state_dict()} if self.ema is not None else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`, exactly."""
        if self.graphed is not None:
            self.graphed.forget()
        for name, network in self.networks().items():
            network.load_state_dict(state["networks"][name])
        for player, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][player])
        if self.ema is not None:
            self.ema.load_state_dict(state["averages"], state["networks"])


def storage(precision: str, device: Device) -> np.dtype:
    """The dtype of activations at a precision; sets how float32 is multiplied on a GPU. Weights are float32 always."""
    if device.name == "cpu":
        if precision == "bf16":
            raise ValueError("precision bf16 needs --device cuda; the CPU computes in float32: leave --precision out")
        return np.dtype(np.float32)
    from kernels.gpu.launch import set_matmul_precision

    set_matmul_precision("fp32" if precision == "fp32" else "tf32")
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if precision == "bf16" else np.float32)


def host_picture(picture: Tensor) -> np.ndarray:
    """A picture as float32 on the host."""
    return picture.numpy().astype(np.float32, copy=False)


def fetched(losses: Sequence[Tensor]) -> list[float]:
    """The losses' values; from a GPU in one copy, for each is a wait."""
    if not losses or losses[0].device.name == "cpu":
        return [loss.item() for loss in losses]
    from kernels.gpu.multi_tensor import gathered

    return to_host(gathered([loss.data for loss in losses])).tolist()


def refuse_nonfinite(losses: Mapping[str, Tensor | float]) -> None:
    """Raises NonFiniteLoss that names the first loss that is NaN or infinite. While a graph is captured nothing is known yet."""
    if capturing():
        return
    tensors = [loss for loss in losses.values() if isinstance(loss, Tensor)]

    def check() -> None:
        for name, value in zip(losses, fetched(tensors) if tensors else losses.values(), strict=True):
            if not np.isfinite(value):
                raise NonFiniteLoss(f"loss {name} is {value}")

    repeated(check)
