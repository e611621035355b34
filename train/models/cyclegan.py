"""CycleGAN: two generators that undo each other, two discriminators that keep them honest.

Zhu, Park, Isola and Efros 2017, https://arxiv.org/abs/1703.10593, in the paper's letters:

    gen_ab  G: A -> B        disc_b  D_B, which tells real pictures of B from G(a)
    gen_ba  F: B -> A        disc_a  D_A, which tells real pictures of A from F(b)

What follows speaks of one direction; the other one is its mirror. Who runs the two, one after the other or side by side, is
no concern of this page (train/models/directions.py): `yield network, pictures` asks for a forward, and the outputs come back.

Losses have the names of the reference implementation (junyanz/pytorch-CycleGAN-and-pix2pix), where everything about A -> B
ends in _A: G_A is gen_ab's adversarial loss, D_A is disc_b's (the discriminator that gen_ab must convince), cycle_A is
|F(G(a)) - a|, idt_A is |G(b) - b|.

Run `python -m train.cyclegan --help` for the command.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from autograd.ops import add, l1_loss
from nn.losses import discriminator_loss, generator_loss, gradient_penalty
from train.config.settings import Config
from train.models.directions import Direction, Losses, TwoDirections
from train.models.model import Turns
from train.models.networks import discriminator, generator, image_pool
from train.models.pictures import CyclePictures

NAMES = ("D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B")


class CycleGAN(CyclePictures, TwoDirections):
    """The four networks, an Adam for both generators and one for both discriminators, and a pool of past fakes for each
    discriminator. `step` makes one full update of both players."""

    program = "train.cyclegan"
    plain_generators = True
    replays = (
        True  # from the third step on its Python does not run: if it is to decide or print in each, delete this line
    )
    names = NAMES

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.gen_ab = generator(config, config.input_nc, config.output_nc, seed=0)
        self.gen_ba = generator(config, config.output_nc, config.input_nc, seed=1)
        self.disc_a = discriminator(config, config.input_nc, seed=2)
        self.disc_b = discriminator(config, config.output_nc, seed=3)
        self.pool_a = image_pool(config.pool_size, [config.seed, 4], self.device)
        self.pool_b = image_pool(config.pool_size, [config.seed, 5], self.device)
        self.mixing = np.random.default_rng([config.seed, 6])  # where between real and fake the penalty looks
        self.players = {
            "g": {"gen_ab": self.gen_ab, "gen_ba": self.gen_ba},
            "d": {"disc_a": self.disc_a, "disc_b": self.disc_b},
        }
        self.start()

    def two_directions(self, a: Tensor, b: Tensor, *pair: Tensor) -> list[Direction]:
        """A -> B -> A and B -> A -> B, for pictures a and b; `pair`: further ones of A and B that belong together."""
        c = self.config
        return [
            Direction("A", self.gen_ab, self.gen_ba, self.disc_b, self.pool_b, a, b, c.lambda_A, c.lambda_B, pair),
            Direction(
                "B", self.gen_ba, self.gen_ab, self.disc_a, self.pool_a, b, a, c.lambda_B, c.lambda_A, pair[::-1]
            ),
        ]

    def turns(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        """One update of each player, the generators first; the weighted losses."""
        directions = self.two_directions(a, b, *pair)
        losses = yield "g", self.generator_losses, directions
        if self.config.lambda_GAN > 0:
            losses = losses | (yield "d", self.discriminator_losses, directions)
        self.keep_in_sight(directions)
        return losses

    def judge_again(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        """A further update of the discriminators, on new pictures and what the generators now make of them."""
        directions = self.two_directions(a, b)
        for d in directions:
            with no_grad():
                d.fake = d.gen(d.real).data
        return (yield "d", self.discriminator_losses, directions)

    def generator_losses(self, d: Direction) -> Losses:
        """What the generators minimise, for least squares (nn/losses.py has the others):

        lambda_GAN (D(G(a)) - 1)^2  +  lambda |F(G(a)) - a|  +  lambda_identity lambda' |G(b) - b|  +  lambda_sup |G(a') - b'|

        the last for a pair (a', b') that is known, where there are such.
        """
        c = self.config
        d.disc.requires_grad_(False)  # it judges, and does not learn

        like = [d.target] if c.lambda_identity > 0 else []
        fake, *others = yield d.gen, (d.real, *like, *d.pair[:1])  # G(a); G(b), which should leave b alone; G(a')
        (rec,) = yield d.back_gen, (fake,)  # F(G(a))
        d.fake = fake.data  # an array without history, for the discriminators' turn

        losses = {f"cycle_{d.name}": l1_loss(rec, d.real, d.lambda_real)}
        if like:
            losses[f"idt_{d.name}"] = l1_loss(others[0], d.target, d.lambda_target * c.lambda_identity)
        if d.pair:
            losses[f"sup_{d.name}"] = l1_loss(others[-1], d.pair[1], c.lambda_sup)
        if c.lambda_GAN > 0:
            (score,) = yield d.disc, self.augmented(d, "g", fake)  # D(G(a))
            losses[f"G_{d.name}"] = generator_loss(score, c.gan_mode, c.lambda_GAN)
        return losses

    def discriminator_losses(self, d: Direction) -> Losses:
        """What the discriminator minimises: half for calling real pictures real, half for calling fakes fake.

        1/2 (D(b) - 1)^2  +  1/2 D(G(a))^2
        """
        mode = self.config.gan_mode
        d.disc.requires_grad_(True)

        fake = self.tensor(
            d.pool.query(d.fake)
        )  # one of the past, half of the time; no gradient leads to the generator
        on_real, on_fake = yield d.disc, self.augmented(d, "d", d.target, fake)
        d.scores = on_real.data, on_fake.data

        loss = add(discriminator_loss(on_real, True, mode, 0.5), discriminator_loss(on_fake, False, mode, 0.5))
        if mode == "wgangp":
            draw = self.micro_batch.draw
            share = self.drawn(
                lambda: draw(self.mixing, "random", len(fake), 1, 1, 1)
            )  # of the real one in each mixture
            loss = add(loss, gradient_penalty(d.disc, d.target, fake, share, 0.5 * self.config.lambda_gp))
        return {f"D_{d.name}": loss}

    # -- state

    def touched(self) -> list[Any]:
        """And the pools."""
        return [
            *super().touched(),
            *((pool.filled, pool.rng.bit_generator.state) for pool in (self.pool_a, self.pool_b)),
        ]

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as host arrays and plain values. "networks" are those to be used."""
        pools = {"a": self.pool_a.state_dict(), "b": self.pool_b.state_dict()}
        return super().state_dict() | {"pools": pools, "mixing": self.mixing.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`, exactly."""
        super().load_state_dict(state)
        self.pool_a.load_state_dict(state["pools"]["a"], self.device, self.dtype)
        self.pool_b.load_state_dict(state["pools"]["b"], self.device, self.dtype)
        self.mixing.bit_generator.state = state["mixing"]
