"""CycleGAN's training step with nothing left out and nothing in the way.

    gen_ab  G: A -> B        disc_b  scores pictures: 1 for "from B", 0 for "made by G"
    gen_ba  F: B -> A        disc_a  the same for A and F

`train/models/cyclegan.py` computes the same losses and the same weights (tests/test_lessons_step.py compares 20 steps), and has
in addition what makes it fast on several kinds of machines.
"""

from __future__ import annotations

from autograd import Tensor
from autograd.ops import l1_loss, lsgan_loss
from kernels.device import Array
from nn import Adam
from nn.network import Network
from train.models.image_pool import ImagePool


class PlainStep:
    """Four networks, two optimisers, two pools of past fakes. Pictures are arrays [N,H,W,C]."""

    def __init__(
        self, gen_ab: Network, gen_ba: Network, disc_a: Network, disc_b: Network, *, lr: float = 2e-4,
        lambda_cycle: float = 10.0, lambda_identity: float = 0.5, pool_size: int = 50, seed: int = 0,
    ) -> None:  # fmt: skip
        self.gen_ab, self.gen_ba, self.disc_a, self.disc_b = gen_ab, gen_ba, disc_a, disc_b
        self.lambda_cycle, self.lambda_identity = lambda_cycle, lambda_identity
        self.adam_g = Adam([*gen_ab.parameters(), *gen_ba.parameters()], lr, (0.5, 0.999))
        self.adam_d = Adam([*disc_a.parameters(), *disc_b.parameters()], lr, (0.5, 0.999))
        self.pool_a, self.pool_b = ImagePool(pool_size, [seed, 4]), ImagePool(pool_size, [seed, 5])

    def step(self, real_a: Array, real_b: Array) -> dict[str, float]:
        """One update of both players; the losses by name."""
        a, b = Tensor(real_a), Tensor(real_b)
        losses = self.move_generators(a, b)
        losses |= self.move_discriminators(a, b)
        return {name: loss.item() for name, loss in losses.items()}

    def move_generators(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """First the generators move. The discriminators only give their opinion."""
        self.disc_a.requires_grad_(False)  # frozen: the gradient passes through them and changes nothing in them
        self.disc_b.requires_grad_(False)
        self.adam_g.zero_grad()  # `backward` adds to gradients; this forgets those of the step before

        fake_b, fake_a = self.gen_ab(a), self.gen_ba(b)  # G(a), F(b)
        rec_a, rec_b = self.gen_ba(fake_b), self.gen_ab(fake_a)  # F(G(a)), G(F(b))
        losses = {
            # mean (D_B(G(a)) - 1)²: be taken for real
            "G_A": lsgan_loss(self.disc_b(fake_b), 1.0),
            "G_B": lsgan_loss(self.disc_a(fake_a), 1.0),
            # λ mean |F(G(a)) - a|: there and back again
            "cycle_A": l1_loss(rec_a, a, self.lambda_cycle),
            "cycle_B": l1_loss(rec_b, b, self.lambda_cycle),
        }
        if self.lambda_identity:
            # λ/2 mean |G(b) - b|: what is in B already is left alone
            losses["idt_A"] = l1_loss(self.gen_ab(b), b, self.lambda_cycle * self.lambda_identity)
            losses["idt_B"] = l1_loss(self.gen_ba(a), a, self.lambda_cycle * self.lambda_identity)
        total(losses).backward()  # one gradient of the sum, through four networks
        self.adam_g.step()
        self.fake_a, self.fake_b = fake_a, fake_b
        return losses

    def move_discriminators(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """Then the discriminators move. The generators' fakes are given to them as mere pictures."""
        self.disc_a.requires_grad_(True)  # thawed
        self.disc_b.requires_grad_(True)
        self.adam_d.zero_grad()

        # cut: `.data` is the numbers without their history, as `detach` gives them, so nothing flows back into G and F;
        # and half of the time the pool gives an older fake in exchange
        old_b = Tensor(self.pool_b.query(self.fake_b.data))
        old_a = Tensor(self.pool_a.query(self.fake_a.data))
        losses = {
            # ½ mean (D_B(b) - 1)² + ½ mean D_B(G(a))²: 1 for real, 0 for fake
            "D_A": lsgan_loss(self.disc_b(b), 1.0, 0.5) + lsgan_loss(self.disc_b(old_b), 0.0, 0.5),
            "D_B": lsgan_loss(self.disc_a(a), 1.0, 0.5) + lsgan_loss(self.disc_a(old_a), 0.0, 0.5),
        }
        total(losses).backward()
        self.adam_d.step()
        return losses


def total(losses: dict[str, Tensor]) -> Tensor:
    """The sum of all losses."""
    first, *others = losses.values()
    for loss in others:
        first = first + loss
    return first
