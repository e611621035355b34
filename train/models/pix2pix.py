"""pix2pix: translation learnt from pairs, the predecessor that CycleGAN does without (Isola et al. 2017).

    gen   G: A -> B, a U-Net whose dropout is the only noise
    disc  D tells true pairs from false: A beside a real or a generated B, patch by patch

    D:  half of  log loss(D(a, b), real) + log loss(D(a, G(a)), fake)
    G:  log loss(D(a, G(a)), real) + lambda_L1 * |G(a) - b|

`step` trains D first, as the reference implementation (junyanz/pytorch-CycleGAN-and-pix2pix) does. Data are aligned: pairs of one name in trainA and trainB, or images in a
folder `train` with A on the left and B on the right. `translate` does not drop, so one picture has one translation.

Run `python -m train.pix2pix --help` for the command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autograd import Tensor, no_grad
from autograd.ops import concat, l1_loss
from kernels.device import Array
from nn.layers import dropping
from nn.losses import discriminator_loss, generator_loss
from nn.stacked import as_one_batch
from train.config.settings import PRESETS, Config, another_default, setting
from train.errors import UserError
from train.models.model import Model, Pair, Rows, Turns, host_picture
from train.models.networks import discriminator, generator
from train.models.quantities import Quantity

NAMES = ("G_GAN", "G_L1", "D_real", "D_fake")


@dataclass(frozen=True)
class Pix2PixConfig(Config):
    """The settings of a run. Defaults are the reference implementation's for pix2pix, but for the norm, which is instance norm here too."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {k: v for k, v in PRESETS["tiny"].items() if k != "n_blocks"} | dict(netG="unet_64"),
        "paper": {},
    }

    dataset_mode: str = "aligned"
    netG: str = another_default("netG", "unet_256")
    dropout: float = setting(
        0.5,
        "share of activations dropped in the U-Net's inner decoder while training (0: none)",
        group="networks",
        least=0,
    )
    gan_mode: str = setting(
        "vanilla",
        "adversarial loss: log loss, least squares or hinge",
        group="losses",
        choices=("vanilla", "lsgan", "hinge"),
    )
    lambda_L1: float = setting(100.0, "weight of the L1 distance to the true picture", group="losses", least=0)
    lambda_A: float = 0.0
    lambda_B: float = 0.0
    lambda_identity: float = 0.0
    lambda_gp: float = 0.0
    pool_size: int = 0
    diffaugment: str = ""
    n_critic: int = 1
    sup_frac: float = 0.0
    lambda_sup: float = 0.0
    accumulate: int = 1
    ema: float = 0.0

    def check(self) -> None:
        """UserError for values that no run can use."""
        super().check()
        if self.dropout >= 1:
            raise UserError(f"--dropout is {self.dropout}; wanted a share from 0 up to, not including, 1")


class Pix2Pix(Model):
    """The two networks and their optimisers. `step` makes one full update of both players."""

    program = "train.pix2pix"
    settings = Pix2PixConfig
    plain_generators = True
    replays = (
        True  # from the third step on its Python does not run: if it is to decide or print in each, delete this line
    )
    directions: ClassVar[tuple[str, ...]] = ("AtoB",)
    metric: ClassVar[tuple[str, ...]] = ("G_L1",)
    names = NAMES
    legend: ClassVar[Mapping[str, str]] = {
        "real": "A picture of A as it is.",
        "fake": "Its translation: what the run is about.",
        "true": "Its partner in B, which the translation should equal.",
    }

    config: Pix2PixConfig

    def __init__(self, config: Pix2PixConfig) -> None:
        super().__init__(config)
        self.gen = generator(config, config.input_nc, config.output_nc, 0, config.dropout)
        self.disc = discriminator(config, config.input_nc + config.output_nc, 1)
        self.players = {"g": {"gen": self.gen}, "d": {"disc": self.disc}}
        self.start()

    def turns(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        """One update of each player, the discriminator first; the losses, the generator's weighted."""
        seed, place = self.config.seed, self.micro_batch.place
        with dropping(self.gen, lambda: (seed, self.optimizers["g"].steps, *place)):
            fake_b = self.gen(a)
        self.seen = {"real_a": a.data, "real_b": b.data, "fake_b": fake_b.data}
        losses: dict[str, Tensor] = {}
        if self.config.lambda_GAN > 0:
            losses = yield "d", lambda: self.discriminator_losses(a, b, fake_b.detach()), 0.5
        return losses | (yield "g", lambda: self.generator_losses(a, b, fake_b))

    def discriminator_losses(self, a: Tensor, b: Tensor, fake_b: Tensor) -> dict[str, Tensor]:
        """What the discriminator minimises, half of each: calling true pairs real, and pairs with a fake fake."""
        self.disc.requires_grad_(True)
        real, fake = as_one_batch(self.disc, (concat(a, b), concat(a, fake_b)))
        self.seen |= {"D_A_real": real.data, "D_A_fake": fake.data}
        mode = self.config.gan_mode
        return {"D_real": discriminator_loss(real, True, mode), "D_fake": discriminator_loss(fake, False, mode)}

    def generator_losses(self, a: Tensor, b: Tensor, fake_b: Tensor) -> dict[str, Tensor]:
        """What the generator minimises. The discriminator does not learn."""
        self.disc.requires_grad_(False)
        c = self.config
        losses = {"G_L1": l1_loss(fake_b, b, c.lambda_L1)}
        if c.lambda_GAN > 0:
            losses["G_GAN"] = generator_loss(self.disc(concat(a, fake_b)), c.gan_mode, c.lambda_GAN)
        return losses

    # -- pictures

    @no_grad()
    def translate(self, pictures: Array, direction: str = "AtoB") -> np.ndarray:
        """Pictures [N,H,W,C] of A as B, on the host, without dropout."""
        if direction != "AtoB":
            raise ValueError("pix2pix learns one direction, A → B; train with --direction BtoA for the other")
        return host_picture(self.gen(self.tensor(pictures)))

    def sample_rows(self, pairs: Sequence[Pair]) -> Rows:
        """Input, translation and truth of each sample."""
        return [{"real A": p.a, "fake B": self.translate(p.a[None])[0], "true B": p.b} for p in pairs]

    @no_grad()
    def run_networks(self, real_a: Array, real_b: Array) -> None:
        """A translation, and what the discriminator says of it and of the truth."""
        a, b = self.tensor(real_a), self.tensor(real_b)
        for picture in (b, self.gen(a)):
            self.disc(concat(a, picture))

    def charts(self) -> list[Quantity]:
        """The report's charts of the losses."""
        even = {"vanilla": 0.693, "lsgan": 0.25, "hinge": 1.0}[self.config.gan_mode]
        return [
            (
                "Discriminator",
                ("D_real", "D_fake"),
                (
                    "How wrong the discriminator is about true pairs, and about inputs with their translation. 0: never "
                    f"mistaken. {even:.2g} (dashed): it cannot tell them apart."
                ),
                even,
            ),
            (
                "Generator against the discriminator",
                ("G_GAN",),
                "How far the generator is from being believed. It often rises while the pictures improve.",
                None if self.config.gan_mode == "hinge" else even,
            ),
            (
                "Distance to the truth",
                ("G_L1",),
                (
                    f"L1 times {self.config.lambda_L1:g}: {self.config.lambda_L1 / 10:g} is 5 % of black to white. "
                    "With dropout, so a little more than translations show."
                ),
                None,
            ),
        ]
