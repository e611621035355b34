"""CycleGAN: two generators that undo each other, two discriminators that keep them honest.

`step` is the paper:

    gen_ab  G: A -> B        disc_b judges domain B
    gen_ba  F: B -> A        disc_a judges domain A        F(G(a)) = a and G(F(b)) = b

Losses keep the field's names, where everything about the mapping A -> B ends in _A: G_A is gen_ab's adversarial loss,
D_A is disc_b's (the discriminator that gen_ab must convince), cycle_A is |F(G(a)) - a|, idt_A is |G(b) - b|.

Run `python -m train.cyclegan --help` for the command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from autograd import Tensor, no_grad
from autograd.lanes import lanes, side_by_side_pays
from autograd.ops import add, l1_loss
from kernels.device import Array, xp_of
from kernels.gpu.cuda_graph import Control, capturing
from nn import PatchDiscriminator, PixelDiscriminator, ResnetGenerator, UnetGenerator
from nn.losses import discriminator_loss, generator_loss, gradient_penalty
from nn.network import Network
from nn.stacked import Twins
from train.config.settings import Config
from train.data.dataset import Sample
from train.models.cuda_graph import GraphedStep
from train.models.ema import Averages
from train.models.gradient_accumulation import Part, parts
from train.models.image_pool import DevicePool, ImagePool, image_pool
from train.models.model import Losses, Model, Rows, host_picture, refuse_nonfinite
from train.report.charts import Quantity, quantities
from train.report.page import LEGEND


@dataclass
class Way:
    """One way round, there and back again. Everything about it is called by `name`, as the field does."""

    name: str
    there: Network
    back: Network
    judge: Network  # of the domain it leads to
    pool: ImagePool  # of that domain's fakes
    start: Tensor  # real pictures of the domain it starts from
    goal: Tensor  # and of the one it leads to
    lambda_start: float
    lambda_goal: float
    fake: Array = None  # made of `start` by the generators' turn, for the discriminators' turn


class CycleGAN(Model):
    """The four networks, their two optimisers and two pools. `step` makes one full update of both players."""

    legend: ClassVar[Mapping[str, str]] = LEGEND

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.gen_ab = generator(config, config.input_nc, config.output_nc, seed=0)
        self.gen_ba = generator(config, config.output_nc, config.input_nc, seed=1)
        self.disc_a = discriminator(config, config.input_nc, seed=2)
        self.disc_b = discriminator(config, config.output_nc, seed=3)
        self.pool_a = image_pool(config.pool_size, [config.seed, 4], self.device)
        self.pool_b = image_pool(config.pool_size, [config.seed, 5], self.device)
        self.mixing = np.random.default_rng([config.seed, 6])  # where between real and fake wgangp looks
        self.players = {
            "g": {"gen_ab": self.gen_ab, "gen_ba": self.gen_ba},
            "d": {"disc_a": self.disc_a, "disc_b": self.disc_b},
        }
        self.part = Part()  # of the step, at which we are
        self.averages = Averages(self.players["g"], config.ema) if config.ema else None
        self.make_optimizers()

    def make_optimizers(self) -> None:
        """Both generators with one Adam, both discriminators with another."""
        super().make_optimizers()
        self.gens, self.discs = Twins(self.gen_ab, self.gen_ba), Twins(self.disc_b, self.disc_a)
        c = self.config
        # The host draws where wgangp's penalty looks; and the pools decide once for each part of a step.
        graph = self.device.name == "cuda" and c.gan_mode != "wgangp" and c.accumulate == 1
        self.graphed = GraphedStep(self) if graph else None

    def step(self, real_a: Array, real_b: Array) -> Losses:
        """One update of both players from pictures [N,H,W,C] in [-1, 1]; returns the weighted losses by name.

        Raises NonFiniteLoss before a NaN or an infinity can reach the weights; on a GPU after (see train/models/cuda_graph.py).
        """
        if self.graphed is not None and self.graphed.ready(real_a, real_b):
            losses = self.graphed(real_a, real_b)
            refuse_nonfinite(losses)
            told = {name: losses[name].item() if name in losses else 0.0 for name in NAMES}
        else:
            told = dict.fromkeys(NAMES, 0.0)
            for part, a, b in parts(real_a, real_b, self.config.accumulate):
                self.part = part
                for name, loss in self.play(self.tensor(a), self.tensor(b)).items():
                    told[name] += part.share * loss.item()
        if self.averages is not None:
            self.averages.update()
        return told

    def play(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """One update of both players; the weighted losses."""
        ways = self.ways(a, b)
        losses = self.update("g", self.generator_losses, ways)
        self.seen = {"real_a": a.data, "real_b": b.data, "fake_b": ways[0].fake, "fake_a": ways[1].fake}
        if self.config.lambda_GAN == 0:
            return losses
        return losses | self.update("d", self.discriminator_losses, ways)

    def ways(self, a: Tensor, b: Tensor) -> list[Way]:
        """A -> B -> A and B -> A -> B."""
        c = self.config
        return [
            Way("A", self.gen_ab, self.gen_ba, self.disc_b, self.pool_b, a, b, c.lambda_A, c.lambda_B),
            Way("B", self.gen_ba, self.gen_ab, self.disc_a, self.pool_a, b, a, c.lambda_B, c.lambda_A),
        ]

    def generator_losses(self, *ways: Way) -> dict[str, Tensor]:
        """What the generators minimise on one way or both; each way keeps its fake. The discriminators only judge."""
        c = self.config
        for way in ways:
            way.judge.requires_grad_(False)

        if c.lambda_identity > 0:  # G(a), and G(b), which should leave b alone
            made = self.gens.each(*((way.there, (way.start, way.goal)) for way in ways))
        else:
            made = self.gens.each(*((way.there, (way.start,)) for way in ways))
        back = self.gens.each(*((way.back, (fake,)) for way, (fake, *_) in zip(ways, made, strict=True)))
        losses = {}
        for way, (fake, *same), (rec,) in zip(ways, made, back, strict=True):
            way.fake = fake.data
            losses[f"cycle_{way.name}"] = l1_loss(rec, way.start, way.lambda_start)
            if same:
                losses[f"idt_{way.name}"] = l1_loss(same[0], way.goal, way.lambda_goal * c.lambda_identity)
        if c.lambda_GAN > 0:
            judged = self.discs.each(*((way.judge, (fake,)) for way, (fake, *_) in zip(ways, made, strict=True)))
            for way, (on_fake,) in zip(ways, judged, strict=True):
                losses[f"G_{way.name}"] = generator_loss(on_fake, c.gan_mode, c.lambda_GAN)
        return losses

    def discriminator_losses(self, *ways: Way) -> dict[str, Tensor]:
        """What the discriminators minimise: half for calling real pictures real, half for calling fakes fake."""
        mode, losses = self.config.gan_mode, {}
        for way in ways:
            way.judge.requires_grad_(True)
        old = [self.tensor(way.pool.query(way.fake)) for way in ways]
        judged = self.discs.each(*((way.judge, (way.goal, fake)) for way, fake in zip(ways, old, strict=True)))
        for way, (real, false) in zip(ways, judged, strict=True):
            on_real, on_fake = discriminator_loss(real, True, mode, 0.5), discriminator_loss(false, False, mode, 0.5)
            losses[f"D_{way.name}"] = add(on_real, on_fake)
            self.seen |= {f"D_{way.name}_real": real.data, f"D_{way.name}_fake": false.data}
        if mode == "wgangp":
            for way, fake in zip(ways, old, strict=True):
                name = f"D_{way.name}"
                losses[name] = add(losses[name], self.penalty(way.judge, way.goal, fake))
        return losses

    def penalty(self, disc: Network, real: Tensor, fake: Tensor) -> Tensor:
        """Half of wgangp's penalty, as everything of a discriminator counts half; each image is mixed by its own share."""
        share = self.tensor(self.mixing.random((len(real), 1, 1, 1)))
        return gradient_penalty(disc, real, fake, share, 0.5 * self.config.lambda_gp)

    def update(
        self, player: str, losses_of: Callable[..., dict[str, Tensor]], ways: Sequence[Way]
    ) -> dict[str, Tensor]:
        """Move one player's networks down the sum of its losses (see train/models/gradient_accumulation.py for a step in parts); returns these.

        On a GPU both ways run at once, for there launches cost most. On the CPU each way is a lane of its own.
        """
        optimizer = self.optimizers[player]
        if self.part.first:
            optimizer.zero_grad()

        def descend(*some: Way) -> dict[str, Tensor]:
            losses = losses_of(*some)
            if not capturing():
                refuse_nonfinite(losses)
            total = add(*losses.values())
            total.backward(None if self.part.share == 1 else xp_of(total.data).full_like(total.data, self.part.share))
            return losses

        if self.device.name == "cpu":
            losses: dict[str, Tensor] = {}
            for own in lanes(descend, ways, side_by_side=self.small(ways[0].start)):
                losses |= own
        else:
            losses = descend(*ways)
        if self.part.last:
            optimizer.step()
        return losses

    def small(self, pictures: Tensor) -> bool:
        """Whether the ways pay side by side, on one thread each. wgangp draws random numbers, one way after the other."""
        c = self.config
        return c.gan_mode != "wgangp" and side_by_side_pays(pictures.size // pictures.shape[3] * max(c.ngf, c.ndf))

    # -- what a captured step is told before each replay

    def controls(self) -> list[Control]:
        """The numbers on the device that differ from step to step."""
        pools = [pool for pool in (self.pool_a, self.pool_b) if isinstance(pool, DevicePool)]
        controls = [*(adam.control for adam in self.optimizers.values()), *(pool.control for pool in pools)]
        return [control for control in controls if control is not None]

    def advance(self) -> None:
        """The host's part of a step: both players count it, the pools decide."""
        for optimizer in self.optimizers.values():
            optimizer.advance()
        for pool in (self.pool_a, self.pool_b):
            if isinstance(pool, DevicePool):
                pool.advance()

    # -- pictures

    def shown(self, name: str) -> Network:
        """A network as others are to see it, and as it is saved: with --ema generators are averaged over the steps."""
        if self.averages is not None and name in self.averages.networks:
            return self.averages.shown(name)
        return super().shown(name)

    @no_grad()
    def pictures(self, real_a: Array, real_b: Array) -> dict[str, np.ndarray]:
        """Every picture of one step, on the host: real, fake, rec(onstructed) and idt(entity), _a and _b."""
        gen_ab, gen_ba = self.shown("gen_ab"), self.shown("gen_ba")
        a, b = self.tensor(real_a), self.tensor(real_b)
        fake_b, fake_a = gen_ab(a), gen_ba(b)
        made = {"real_a": a, "fake_b": fake_b, "rec_a": gen_ba(fake_b)}
        made |= {"real_b": b, "fake_a": fake_a, "rec_b": gen_ab(fake_a)}
        if self.config.input_nc == self.config.output_nc:
            made |= {"idt_a": gen_ba(a), "idt_b": gen_ab(b)}
        return {name: host_picture(picture) for name, picture in made.items()}

    @no_grad()
    def translate(self, pictures: Array, direction: str = "AtoB") -> np.ndarray:
        """Pictures [N,H,W,C] of one domain as the other, on the host. `direction` is "AtoB" or "BtoA"."""
        return host_picture(self.shown("gen_ab" if direction == "AtoB" else "gen_ba")(self.tensor(pictures)))

    def sample_rows(self, pairs: Sequence[Sample]) -> Rows:
        """Each sample's own row: first all of A, then all of B."""
        pictures = [self.pictures(pair.a[None], pair.b[None]) for pair in pairs]
        rows: Rows = []
        for direction, other in ("ab", "ba"):
            for made in pictures:
                row = {f"real {direction.upper()}": made[f"real_{direction}"][0]}
                row[f"fake {other.upper()}"] = made[f"fake_{other}"][0]
                row[f"reconstructed {direction.upper()}"] = made[f"rec_{direction}"][0]
                if f"idt_{direction}" in made:
                    row[f"identity {direction.upper()}"] = made[f"idt_{direction}"][0]
                rows.append(row)
        return rows

    def charts(self) -> list[Quantity]:
        """The report's charts of the losses."""
        return quantities(self.config.as_dict())

    @no_grad()
    def run_networks(self, real_a: Array, real_b: Array) -> None:
        """All networks on what they see in a step: the generators forth and back, the judges on real and fake."""
        a, b = self.tensor(real_a), self.tensor(real_b)
        fake_b, fake_a = self.gen_ab(a), self.gen_ba(b)
        self.gen_ba(fake_b), self.gen_ab(fake_a)
        for judge, real, fake in ((self.disc_a, a, fake_a), (self.disc_b, b, fake_b)):
            judge(real), judge(fake)

    # -- state

    def astype(self, dtype: str) -> Self:
        """Compute in "float32" or "float64" from now on, with fresh optimisers; returns this model."""
        for network in self.averages.networks.values() if self.averages is not None else ():
            network.astype(dtype)
        return super().astype(dtype)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as host arrays and plain values. "networks" are those to be used."""
        state = super().state_dict()
        if self.averages is not None:
            state["averages"] = self.averages.state_dict()
        state["pools"] = {"a": self.pool_a.state_dict(), "b": self.pool_b.state_dict()}
        state["mixing"] = self.mixing.bit_generator.state
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`, exactly."""
        self.graphed = GraphedStep(self) if self.graphed is not None else None
        super().load_state_dict(state)
        if self.averages is not None:
            self.averages.load_state_dict(state["averages"], state["networks"])
        self.pool_a.load_state_dict(state["pools"]["a"], self.device, self.dtype)
        self.pool_b.load_state_dict(state["pools"]["b"], self.device, self.dtype)
        self.mixing.bit_generator.state = state["mixing"]


NAMES = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")


def generator(config: Config, in_channels: int, out_channels: int, seed: int, dropout: float = 0.0) -> Network:
    """The generator that `config` asks for; `seed` tells the four networks of a model apart. Only a U-Net drops."""
    common: dict[str, Any] = dict(
        in_channels=in_channels, out_channels=out_channels, ngf=config.ngf, device=config.device,
        seed=network_seed(config, seed), init_type=config.init_type, init_gain=config.init_gain,
    )  # fmt: skip
    if config.netG == "resnet":
        return ResnetGenerator(
            n_blocks=config.n_blocks, upsample=config.upsample, checkpointing=config.checkpointing, **common
        )
    downs = {"unet_64": 6, "unet_128": 7, "unet_256": 8}[config.netG]
    return UnetGenerator(num_downs=downs, dropout=dropout, **common)


def discriminator(config: Config, in_channels: int, seed: int) -> Network:
    """The discriminator that `config` asks for."""
    common: dict[str, Any] = dict(
        in_channels=in_channels, ndf=config.ndf, device=config.device, seed=network_seed(config, seed),
        init_type=config.init_type, init_gain=config.init_gain,
    )  # fmt: skip
    if config.netD == "pixel":
        return PixelDiscriminator(**common)
    return PatchDiscriminator(n_layers=config.n_layers_D if config.netD == "n_layers" else 3, **common)


def network_seed(config: Config, number: int) -> int:
    """A seed of its own for each of the four networks."""
    return 4 * config.seed + number
