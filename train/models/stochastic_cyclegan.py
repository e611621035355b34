"""CycleGAN with stochastic mappings: noise z is fed to the generator A -> B, and nothing says what it should do.

It is the baseline of Augmented CycleGAN (train/models/augmented_cyclegan.py). One picture of A may have many partners in B, and z
could choose among them; but B -> A -> B must return, and the way back is told nothing of the choice. So gen_ab learns to
ignore z, and gen_ba to hide in its picture what gen_ab needs: steganography, which `python -m train.probe` makes visible.

    step (after the authors' code: the discriminators first, then the generators against the updated ones)
        fake_b = gen_ab(a, z)      rec_a = gen_ba(fake_b)
        fake_a = gen_ba(b)         rec_b = gen_ab(fake_a, z)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autograd import Tensor, no_grad
from autograd.ops import add, l1_loss
from kernels.device import Array
from nn.augmented import AffineDiscriminator, CodedGenerator
from nn.losses import discriminator_loss, generator_loss
from nn.network import Network
from nn.optim import clip_grad_norm
from train.config.settings import Config, another_default, setting
from train.models.model import Losses, Model, Pair, Rows, Turns, host_picture
from train.models.quantities import Quantity

Case = tuple[str, Network, Tensor, Tensor]
"""A loss, the discriminator that minimises it, what is real and what is fake."""

SMALL: dict[str, Any] = dict(
    input_nc=1, load_size=32, crop_size=32, n_down=3, batch_size=4, ngf=12, ndf=24, ndf_A=16, nlatent=4, lr=0.001,
    n_epochs=30, n_epochs_decay=30, print_freq=50, sample_freq=250, save_latest_freq=500, save_epoch_freq=0,
)  # fmt: skip


@dataclass(frozen=True)
class StochasticConfig(Config):
    """The settings of the authors' code (64x64 pictures)."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"tiny": SMALL, "paper": {}}

    precision: str = another_default("precision", "tf32", choices=("fp32", "tf32"))
    builtin: str = another_default("builtin", "colours")
    load_size: int | str = another_default("load_size", 64)
    crop_size: int | str = another_default("crop_size", 64)
    batch_size: int = another_default("batch_size", 32)
    ngf: int = another_default("ngf", 32)
    n_blocks: int = another_default("n_blocks", 3, help="residual blocks of the generators")
    ndf: int = another_default("ndf", 64, help="channels of the first layer of the discriminator of B, and of codes")
    lambda_A: float = another_default("lambda_A", 1.0)
    lambda_B: float = another_default("lambda_B", 1.0)
    n_epochs: int = another_default("n_epochs", 25)
    n_epochs_decay: int = another_default("n_epochs_decay", 25)

    ndf_A: int = setting(32, "channels of the first layer of the discriminator of A", group="networks", least=1)
    n_down: int = setting(
        4,
        "strided layers of the discriminator of A and of encoders: 4 for 64 px, 3 for 32 px",
        group="networks",
        least=1,
    )
    nlatent: int = setting(16, "numbers in a code", group="networks", least=1)
    max_gnorm: float = setting(
        500.0, "gradients of a network longer than this are shortened", group="schedule", least=0
    )
    slower_D: float = setting(
        5.0, "how many times slower the discriminators learn than the rest", group="schedule", least=1
    )

    netG: str = "coded"
    netD: str = "affine"
    n_layers_D: int = 3
    upsample: str = "deconv"
    gan_mode: str = "lsgan"
    diffaugment: str = ""
    n_critic: int = 1
    lr_D: float = 0.0
    sup_frac: float = 0.0
    lambda_sup: float = 0.0
    dataset_mode: str = "unaligned"
    accumulate: int = 1
    checkpointing: bool = False
    ema: float = 0.0
    lambda_gp: float = 0.0
    lambda_GAN: float = 1.0
    lambda_identity: float = 0.0
    pool_size: int = 0

    @property
    def generator_sides(self) -> tuple[int, int]:
        """Generators take pictures whose sides are multiples of the first and at least the second, pixels."""
        return 2, 8

    def misfit(self, width: int, height: int) -> str:
        """Why the networks cannot take pictures of this size, in words; "" if they can."""
        if width % 2 or height % 2:
            return "the generators want even sides"
        least = max(16, 4 * 2**self.n_down)  # the discriminator of B needs 16
        if min(width, height) < least:
            return f"--n_down {self.n_down} wants sides of at least {least}"
        return ""

    def networks(self) -> str:
        """The networks in a few words."""
        return f"generators ngf {self.ngf}, discriminators ndf {self.ndf} and {self.ndf_A}, codes of {self.nlatent} numbers"


class StochasticCycleGAN(Model):
    """The networks and one Adam for each player."""

    program = "train.stochastic_cyclegan"
    settings = StochasticConfig
    replays = True
    legend: ClassVar[Mapping[str, str]] = {
        "real": "A picture as it is.",
        "z 1, z 2, …": "Its translations with different codes z, the same in all rows. Do they differ?",
        "fake": "Its translation into A.",
        "reconstructed": "The fake translated back. It should equal the real one.",
    }

    config: StochasticConfig

    def __init__(self, config: StochasticConfig) -> None:
        super().__init__(config)
        self.rng = np.random.default_rng([config.seed, 6])
        self.players = {"g": self.make_generators(), "d": self.make_discriminators()}
        self.start()

    # -- the networks

    def make_generators(self) -> dict[str, Network]:
        """What learns to please: gen_ab takes a code, gen_ba does not."""
        self.gen_ab, self.gen_ba = self.generator("ab", 0), self.generator("ba", 1, coded=False)
        return {"gen_ab": self.gen_ab, "gen_ba": self.gen_ba}

    def make_discriminators(self) -> dict[str, Network]:
        """What learns to tell: disc_b sees overlapping patches, disc_a the whole of a picture of the smallest size."""
        c = self.config
        wide_a = [(min(2**i, 4) * c.ndf_A, 2) for i in range(c.n_down)]
        wide_b = [(c.ndf, 2), (2 * c.ndf, 2), (4 * c.ndf, 1), (4 * c.ndf, 1)]
        self.disc_a = AffineDiscriminator(c.input_nc, wide_a, kernel=3, last_padding=0, **self.common(2))
        self.disc_b = AffineDiscriminator(c.output_nc, wide_b, **self.common(3))
        return {"disc_a": self.disc_a, "disc_b": self.disc_b}

    def generator(self, direction: str, number: int, coded: bool = True) -> CodedGenerator:
        """The generator A -> B ("ab") or B -> A ("ba")."""
        c = self.config
        ends = {"ab": (c.input_nc, c.output_nc), "ba": (c.output_nc, c.input_nc)}[direction]
        return CodedGenerator(*ends, c.ngf, c.n_blocks, c.nlatent if coded else 0, **self.common(number))

    def common(self, number: int) -> dict[str, Any]:
        """What all networks are made with; `number` tells them apart."""
        c = self.config
        return dict(device=c.device, seed=8 * c.seed + number, init_type=c.init_type, init_gain=c.init_gain)

    # -- the step

    def turns(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        """Draw codes, make fakes, let the discriminators learn from them, then the generators from the discriminators."""
        z = self.draw(len(a))
        fake_b, fake_a = self.gen_ab(a, z), self.gen_ba(b)
        self.seen = {"real_a": a.data, "real_b": b.data, "fake_a": fake_a.data, "fake_b": fake_b.data}
        cases: list[Case] = [("D_A", self.disc_b, b, fake_b), ("D_B", self.disc_a, a, fake_a)]
        losses_d = yield "d", lambda: self.discriminator_losses(cases)
        losses = {
            "G_A": generator_loss(self.disc_b(fake_b)),
            "G_B": generator_loss(self.disc_a(fake_a)),
            "cycle_A": l1_loss(self.gen_ba(fake_b), a, self.config.lambda_A),
            "cycle_B": l1_loss(self.gen_ab(fake_a, z), b, self.config.lambda_B),
        }
        return losses_d | (yield "g", lambda: losses)

    def discriminator_losses(self, cases: list[Case]) -> Losses:
        """What discriminators minimise: half for calling what is real real, half for calling what is fake fake."""
        self.freeze("d", False)
        losses = {}
        for name, disc, real, fake in cases:
            on_fake, on_real = disc(fake.detach()), disc(real)
            self.seen |= {f"{name}_fake": on_fake.data, f"{name}_real": on_real.data}
            losses[name] = add(
                discriminator_loss(on_fake, False, weight=0.5), discriminator_loss(on_real, True, weight=0.5)
            )
        return losses

    def descend(self, player: str, losses_of: Callable[[], Losses], weight: float = 1.0, /) -> Losses:
        """As every system; the discriminators learn in their own turn alone."""
        losses = super().descend(player, losses_of, weight)
        self.freeze("d", True)
        return losses

    def follow(self, player: str) -> None:
        """Move one player's networks, by no gradient that is longer than max_gnorm."""
        for network in self.players[player].values():
            clip_grad_norm(network.parameters(), self.config.max_gnorm)
        super().follow(player)

    def freeze(self, player: str, flag: bool) -> None:
        for network in self.players[player].values():
            network.requires_grad_(not flag)

    def draw(self, count: int) -> Tensor:
        """Codes [count,1,1,nlatent] from the prior, N(0, 1)."""
        draw, nlatent = self.micro_batch.draw, self.config.nlatent
        return self.drawn(lambda: draw(self.rng, "standard_normal", count, 1, 1, nlatent))

    # -- pictures

    def takes_code(self, direction: str) -> bool:
        """Whether `translate` takes codes in this direction."""
        return (self.gen_ab if direction == "AtoB" else self.gen_ba).nlatent > 0

    def codes(self, count: int, seed: int = 0) -> np.ndarray:
        """Codes [count,1,1,nlatent] for looking at: the same whenever asked, apart from training's."""
        rng = np.random.default_rng([self.config.seed, 7, seed])
        return rng.standard_normal((count, 1, 1, self.config.nlatent))

    @no_grad()
    def translate(self, pictures: Array, direction: str = "AtoB", z: Array | None = None) -> np.ndarray:
        """Pictures [N,H,W,C] of one domain as the other, on the host; with codes z [N,1,1,nlatent] or drawn ones."""
        x = self.tensor(pictures)
        if direction == "BtoA":
            return host_picture(self.gen_ba(x))
        return host_picture(self.gen_ab(x, self.tensor(self.codes(len(x)) if z is None else z)))

    def style(self, real_b: Array, fake_a: Array) -> np.ndarray:
        """The codes with which fake_a should be translated back to real_b: drawn, for nothing reads them here."""
        return self.codes(len(real_b), seed=1)

    def sample_rows(self, pairs: Sequence[Pair], shown: int = 4) -> Rows:
        """Pictures of A with several codes, then pictures of B there and back."""
        rows: Rows = []
        codes = self.codes(shown)
        for pair in pairs:
            a = pair.a[None]
            fakes = [self.translate(a, "AtoB", z[None]) for z in codes]
            row = {"real A": pair.a} | {f"z {i + 1}": fake[0] for i, fake in enumerate(fakes)}
            rows.append(row | {"reconstructed A": self.translate(fakes[0], "BtoA")[0]})
        for pair in pairs:
            b = pair.b[None]
            fake = self.translate(b, "BtoA")
            back = self.translate(fake, "AtoB", self.style(b, fake))
            rows.append({"real B": pair.b, "fake A": fake[0], "reconstructed B": back[0]})
        return rows

    @no_grad()
    def run_networks(self, real_a: Array, real_b: Array) -> None:
        """Every network at least once, for train/run/diagnose.py."""
        a, b = self.tensor(real_a), self.tensor(real_b)
        fake_b, fake_a = self.gen_ab(a, self.tensor(self.codes(len(a)))), self.gen_ba(b)
        for disc, pictures in ((self.disc_b, (b, fake_b)), (self.disc_a, (a, fake_a))):
            for picture in pictures:
                disc(picture)

    def charts(self) -> list[Quantity]:
        """The report's charts of the losses."""
        return [
            ("Discriminators", ("D_A", "D_B"), "D_A looks at fakes of B, D_B at those of A. 0: never mistaken. 0.25 (dashed): cannot tell.", 0.25),
            ("Generators against the discriminators", ("G_A", "G_B"), "How far the generators are from fooling them. 0.25: undecided. 1: all are caught.", 0.25),
            ("Cycle", ("cycle_A", "cycle_B"), "There and back again. cycle_A: A → B → A; cycle_B: B → A → B. Should fall.", None),
        ]  # fmt: skip

    # -- state

    def set_lr(self, lr: float) -> None:
        """The learning rate: the discriminators' is `slower_D` times smaller, at every point of the schedule."""
        self.optimizers["g"].lr, self.optimizers["d"].lr = lr, lr / self.config.slower_D

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.rng.bit_generator.state = state["rng"]
