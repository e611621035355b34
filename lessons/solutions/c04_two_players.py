"""Chapter 4, solved."""

from typing import Any

from autograd import Tensor
from autograd.ops import lsgan_loss

without_freeze = "the same"
generator_loss_of_the_leak = "below"


def discriminators_turn(game: Any, a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor) -> None:
    game.disc_a.requires_grad_(True)
    game.disc_b.requires_grad_(True)
    game.adam_d.zero_grad()
    loss_b = lsgan_loss(game.disc_b(b), 1.0, 0.5) + lsgan_loss(game.disc_b(fake_b.detach()), 0.0, 0.5)
    loss_a = lsgan_loss(game.disc_a(a), 1.0, 0.5) + lsgan_loss(game.disc_a(fake_a.detach()), 0.0, 0.5)
    (loss_a + loss_b).backward()
    game.adam_d.step()
