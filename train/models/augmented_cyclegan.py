"""Augmented CycleGAN: what B has and A has not is a code z_b, which is generated with, read back, and kept through the cycle.

    gen_ab  A x Z_b -> B       enc_b   A x B -> Z_b, what leads from a to b       disc_zb  do codes look drawn?
    gen_ba  B -> A             disc_a, disc_b do pictures look real?

    step
        fake_b = gen_ab(a, z)      rec_a = gen_ba(fake_b)      rec_z = enc_b(a, fake_b)
        fake_a = gen_ba(b)         post = enc_b(fake_a, b)     rec_b = gen_ab(fake_a, post)

Since z must be found again in fake_b, it cannot be ignored; since post carries what fake_a lacks, nothing need be hidden.
`--two_sided` adds the mirror: gen_ba takes a code z_a, which enc_a reads back. `--stoch_enc` draws post from N(mu, sigma^2)
and holds it to the prior by the KL divergence instead of disc_zb. `--sup_frac 0.1` learns from a tenth of the pairs too, where
images of A and B have one name: for a pair (a, b), gen_ba(b) should be a, and gen_ab(a, enc_b(a, b)) should be b. (The authors'
code makes a second update of them; here their losses are added to the others, as in the paper.) Almahairi et al. 2018,
https://arxiv.org/abs/1802.10151
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from autograd import Tensor, no_grad
from autograd.ops import concat, exp, l1_loss, relu
from kernels.device import Array
from nn.augmented import LatentDiscriminator, LatentEncoder
from nn.losses import generator_loss
from nn.network import Network
from train.config.settings import another_default, setting
from train.models.model import Turns
from train.models.quantities import Quantity
from train.models.stochastic_cyclegan import SMALL, Case, StochasticConfig, StochasticCycleGAN


@dataclass(frozen=True)
class AugmentedConfig(StochasticConfig):
    """The settings of the authors' code: edges to shoes, 64x64 pictures."""

    presets: ClassVar[dict[str, dict[str, Any]]] = {"tiny": SMALL | {"nef": 12}, "paper": {}}

    nef: int = setting(32, "channels of the encoders' first layer", group="networks", least=1)
    two_sided: bool = setting(False, "codes for A too: gen_ba takes one, a second encoder reads it", group="networks")
    stoch_enc: bool = setting(False, "read a distribution of codes, held to the prior by its KL", group="losses")
    lambda_z: float = setting(0.025, "weight of a code's cycle loss, and of the KL", group="losses", least=0)
    sup_frac: float = another_default("sup_frac", 0.0)
    lambda_sup_A: float = setting(
        0.1, "weight of a known pair's distance B -> A from the true A", group="losses", least=0
    )
    lambda_sup_B: float = setting(
        0.1,
        "weight of a known pair's distance A -> B from the true B, with the code that is read from it",
        group="losses",
        least=0,
    )


class AugmentedCycleGAN(StochasticCycleGAN):
    """The networks, and the step as the paper has it. Losses of codes are called after the code: D_z_B, G_z_B, cycle_z_B."""

    program = "train.augmented_cyclegan"
    settings = AugmentedConfig
    replays = True

    config: AugmentedConfig

    def make_generators(self) -> dict[str, Network]:
        c = self.config
        self.gen_ab, self.gen_ba = self.generator("ab", 0), self.generator("ba", 1, coded=c.two_sided)
        nets: dict[str, Network] = {"gen_ab": self.gen_ab, "gen_ba": self.gen_ba}
        for side, number in self.sides():
            nets[f"enc_{side}"] = LatentEncoder(
                c.input_nc + c.output_nc, c.nef, c.n_down, c.nlatent, **self.common(number)
            )
        return nets

    def make_discriminators(self) -> dict[str, Network]:
        nets = super().make_discriminators()
        if not self.config.stoch_enc:
            for side, number in self.sides():
                nets[f"disc_z{side}"] = LatentDiscriminator(
                    self.config.nlatent, self.config.ndf, **self.common(number + 2)
                )
        return nets

    def sides(self) -> list[tuple[str, int]]:
        """The domains that have codes, with a number each."""
        return [("b", 4), ("a", 5)] if self.config.two_sided else [("b", 4)]

    @property
    def together(self) -> int:  # type: ignore[override]
        """Encoders and the discriminators of codes have batch norms: an eighth of a batch, two pictures at least.

        What a batch norm looks at must not depend on how many ranks there are, or the losses would: so the parts are the same for
        any number of them. They are as large as they can be where 1, 2, 4 and 8 ranks are to have equally many: 4 pictures of the
        paper's 32. Smaller parts make the statistics noisier than those of the whole batch; a bigger one leaves ranks without work.
        """
        return max(2, self.config.batch_size // 8)

    # -- the step

    def turns(self, a: Tensor, b: Tensor, /, *pair: Tensor) -> Turns:
        """Both directions, and those of a known `pair` (a, b). The mirror differs from the one-sided form only where
        gen_ba has a code."""
        c = self.config
        z_b = self.draw(len(a))
        z_a = self.draw(len(b)) if c.two_sided else None
        fake_b, fake_a = self.gen_ab(a, z_b), self.gen_ba(b, z_a)
        self.seen = {"real_a": a.data, "real_b": b.data, "fake_a": fake_a.data, "fake_b": fake_b.data}
        codes = {"b": z_b} | ({"a": z_a} if z_a is not None else {})
        leads = {"z_B": (fake_a, b), "z_A": (a, fake_b), "sup_z_B": pair, "sup_z_A": pair}  # from a to b, by the code
        read = {n: self.encode(side_of(n), *ends) for n, ends in leads.items() if ends and side_of(n) in codes}
        post = {n: self.sampled(mu, logvar) for n, (mu, logvar) in read.items()}

        cases: list[Case] = [("D_A", self.disc_b, b, fake_b), ("D_B", self.disc_a, a, fake_a)]
        latent_discs = {} if c.stoch_enc else {n: self.players["d"][f"disc_z{side_of(n)}"] for n in post}
        cases += [(f"D_{n}", disc, codes[side_of(n)], post[n]) for n, disc in latent_discs.items()]
        losses_d = yield "d", lambda: self.discriminator_losses(cases)

        losses = {
            "G_A": generator_loss(self.disc_b(fake_b)),
            "G_B": generator_loss(self.disc_a(fake_a)),
            "cycle_A": l1_loss(self.gen_ba(fake_b, post.get("z_A")), a, c.lambda_A),
            "cycle_B": l1_loss(self.gen_ab(fake_a, post["z_B"]), b, c.lambda_B),
        }
        if pair:
            losses["sup_A"] = l1_loss(self.gen_ba(pair[1], post.get("sup_z_A")), pair[0], c.lambda_sup_A)
            losses["sup_B"] = l1_loss(self.gen_ab(pair[0], post["sup_z_B"]), pair[1], c.lambda_sup_B)
        losses |= {f"G_{n}": generator_loss(disc(post[n])) for n, disc in latent_discs.items()}
        for side, z in codes.items():
            mu, logvar = self.encode(side, a, fake_b) if side == "b" else self.encode(side, fake_a, b)
            cycle = negative_log_likelihood(z, mu, logvar) * c.lambda_z if c.stoch_enc else l1_loss(mu, z, c.lambda_z)
            losses[f"cycle_z_{side.upper()}"] = cycle
        if c.stoch_enc:
            losses |= {f"kl_{n}": kl_divergence(mu, logvar) * c.lambda_z for n, (mu, logvar) in read.items()}
        return losses_d | (yield "g", lambda: losses)

    def encode(self, side: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the code of domain `side` that leads from the one picture to the other."""
        both = self.players["g"][f"enc_{side}"](concat(a, b))
        return both[..., : self.config.nlatent], both[..., self.config.nlatent :]

    def sampled(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """The mean, or with `stoch_enc` a draw from N(mu, exp(logvar)), held within [-4, 4]."""
        if not self.config.stoch_enc:
            return mu
        z = mu + exp(logvar * 0.5) * self.draw(len(mu))
        return relu(z + 4.0) - relu(z - 4.0) - 4.0

    # -- pictures

    @no_grad()
    def translate(self, pictures: Array, direction: str = "AtoB", z: Array | None = None) -> np.ndarray:
        """Pictures [N,H,W,C] of one domain as the other, on the host; with codes z [N,1,1,nlatent] or drawn ones."""
        if direction == "BtoA" and self.config.two_sided:
            x = self.tensor(pictures)
            return self.gen_ba(x, self.tensor(self.codes(len(x)) if z is None else z)).numpy().astype(np.float32)
        return super().translate(pictures, direction, z)

    @no_grad()
    def style(self, real_b: Array, fake_a: Array) -> np.ndarray:
        """The codes with which fake_a should be translated back to real_b, as the encoder reads them."""
        return self.encode("b", self.tensor(fake_a), self.tensor(real_b))[0].numpy()

    @no_grad()
    def run_networks(self, real_a: Array, real_b: Array) -> None:
        a, b = self.tensor(real_a), self.tensor(real_b)
        z = self.tensor(self.codes(len(a)))
        fake_b, fake_a = self.gen_ab(a, z), self.gen_ba(b, z if self.config.two_sided else None)
        for disc, pictures in ((self.disc_b, (b, fake_b)), (self.disc_a, (a, fake_a))):
            for picture in pictures:
                disc(picture)
        for side, _ in self.sides():
            mu, _ = self.encode(side, fake_a, b)
            if not self.config.stoch_enc:
                self.players["d"][f"disc_z{side}"](mu)

    def charts(self) -> list[Quantity]:
        codes: list[Quantity] = [
            ("Known pairs", ("sup_A", "sup_B"), "How far translations of known pairs are from the truth. sup_A: B → A; sup_B: A → B, with the code read from the pair.", None),
            ("Cycle of codes", ("cycle_z_B", "cycle_z_A"), "How far the code read from a fake is from the one it was made with. A model that ignores its code cannot lower it.", None),
        ]  # fmt: skip
        for name, whose in (("z", "codes"), ("sup_z", "known pairs' codes")):
            codes += [
                (f"Discriminators of {whose}", (f"D_{name}_B", f"D_{name}_A"), "Do the codes that the encoder reads look like drawn ones? 0.25 (dashed): cannot tell.", 0.25),
                (f"Encoders against the discriminators of {whose}", (f"G_{name}_B", f"G_{name}_A"), "How far the encoders are from fooling them. 0.25: undecided.", 0.25),
                (f"KL of {whose}", (f"kl_{name}_B", f"kl_{name}_A"), "How far the distribution of read codes is from the prior.", None),
            ]  # fmt: skip
        return [*super().charts(), *codes]


def side_of(name: str) -> str:
    """The domain, "a" or "b", of a code called z_A, z_B, sup_z_A or sup_z_B."""
    return name[-1].lower()


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, 1)), summed over a code's numbers, mean over codes [N,1,1,nlatent]."""
    return (mu * mu + exp(logvar) - logvar - 1.0).sum() * (0.5 / len(mu))


def negative_log_likelihood(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """-log N(z; mu, exp(logvar)), mean over codes and their numbers."""
    off = z - mu
    return ((logvar + off * off * exp(logvar * -1.0)) * 0.5).mean() + 0.5 * float(np.log(2 * np.pi))
