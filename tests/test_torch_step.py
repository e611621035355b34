"""The torch truth's pool, schedule and training step against hand-made decisions and formulas written out."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.torch_reference import (
    TorchCycleGAN,
    TorchPatchDiscriminator,
    TorchPool,
    TorchResnetGenerator,
    linear_factor,
)


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


class Scripted:
    """A generator of random numbers that says what it is told, and notes what it was asked."""

    def __init__(self, *answers: float) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def random(self) -> float:
        self.asked.append("random")
        return self.answers.pop(0)

    def integers(self, high: int) -> int:
        self.asked.append(f"integers({high})")
        return int(self.answers.pop(0))


def test_pool_follows_its_decisions():
    def image(value: float) -> Tensor:
        return torch.full((1, 1, 1, 1), value)

    rng: Any = Scripted(0.9, 1, 0.5, 0.51, 1)
    pool = TorchPool(2, rng)
    assert torch.cat([image(1), image(2)]).equal(pool.query(torch.cat([image(1), image(2)]))) and not rng.asked
    answers = pool.query(torch.cat([image(3), image(4), image(5)])).flatten().tolist()
    assert answers == [2.0, 4.0, 3.0]  # swapped with place 1; p = .5 passes through; swapped again
    assert torch.cat(pool.images).flatten().tolist() == [1.0, 5.0]
    assert rng.asked == ["random", "integers(2)", "random", "random", "integers(2)"]


def test_pool_of_size_zero_passes_through_and_pools_cut_the_graph():
    rng: Any = Scripted()  # has no answers
    silent = TorchPool(0, rng)
    x = torch.rand(2, 1, 2, 2, requires_grad=True)
    assert silent.query(x).equal(x) and not silent.query(x).requires_grad and not silent.images
    assert not TorchPool(5, np.random.default_rng(0)).query(x).requires_grad


def test_linear_schedule():
    rates = [linear_factor(epoch - 1, 100, 100) for epoch in range(1, 201)]  # the rate that epoch 1, 2, … runs at
    assert rates[:100] == [1.0] * 100
    assert rates[100] == pytest.approx(0.9901, abs=5e-5) and rates[199] == pytest.approx(0.0099, abs=5e-5)
    assert np.allclose(np.diff(rates[99:]), -1 / 101)
    assert linear_factor(0, 100, 100, epoch_count=150) == rates[149]


# Training


def make_model(
    gan_mode: str = "lsgan", lambda_identity: float = 0.5, channels_b: int = 3, pool: int = 0, rng: Any = None
) -> TorchCycleGAN:
    torch.manual_seed(0)
    c = channels_b
    generators = TorchResnetGenerator(3, c, 2, 1).double(), TorchResnetGenerator(c, 3, 2, 1).double()
    discriminators = TorchPatchDiscriminator(3, 2, 1).double(), TorchPatchDiscriminator(c, 2, 1).double()
    return TorchCycleGAN(
        *generators, *discriminators, lr=1e-3, beta1=0.5, lambda_A=10.0, lambda_B=6.0, lambda_identity=lambda_identity,
        pool_a=TorchPool(pool, rng), pool_b=TorchPool(pool, rng), gan_mode=gan_mode,
    )  # fmt: skip


G_TERM = {
    "lsgan": lambda y: (y - 1).square().mean(),
    "vanilla": lambda y: -y.sigmoid().log().mean(),
    "hinge": lambda y: -y.mean(),
}
D_TERM = {
    "lsgan": lambda real, fake: ((real - 1).square().mean() + fake.square().mean()) / 2,
    "vanilla": lambda real, fake: -(real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()) / 2,
    "hinge": lambda real, fake: ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()) / 2,
}


@pytest.mark.parametrize("gan_mode", ["lsgan", "vanilla", "hinge"])
def test_two_steps_against_the_formulas(gan_mode):
    """Losses, every gradient and Adam, written out on copies of the networks."""
    model = make_model(gan_mode)
    trained = nn.ModuleList([model.gen_ab, model.gen_ba, model.disc_a, model.disc_b])
    ab, ba, da, db = nets = copy.deepcopy(trained)
    params = list(nets.parameters())
    m, v = [torch.zeros_like(p) for p in params], [torch.zeros_like(p) for p in params]
    for t in (1, 2):
        a, b = images(2, 3, 12, 16, seed=t), images(2, 3, 12, 16, seed=-t)
        losses = model.step(a, b)

        expected = {
            "G_A": G_TERM[gan_mode](db(ab(a))),
            "G_B": G_TERM[gan_mode](da(ba(b))),
            "cycle_A": 10 * (ba(ab(a)) - a).abs().mean(),
            "cycle_B": 6 * (ab(ba(b)) - b).abs().mean(),
            "idt_A": 3 * (ab(b) - b).abs().mean(),
            "idt_B": 5 * (ba(a) - a).abs().mean(),
        }
        g_params, d_params = [*ab.parameters(), *ba.parameters()], [*da.parameters(), *db.parameters()]
        grads = torch.autograd.grad(torch.stack(list(expected.values())).sum(), g_params)
        expected["D_A"] = D_TERM[gan_mode](db(b), db(ab(a)))
        expected["D_B"] = D_TERM[gan_mode](da(a), da(ba(b)))
        grads += torch.autograd.grad(expected["D_A"] + expected["D_B"], d_params)
        assert losses == pytest.approx({name: value.item() for name, value in expected.items()}, rel=1e-9)

        for i, (new, old, grad) in enumerate(zip(trained.parameters(), params, grads, strict=True)):
            assert new.requires_grad
            torch.testing.assert_close(new.grad, grad, rtol=1e-7, atol=1e-11)
            m[i], v[i] = 0.5 * m[i] + 0.5 * grad, 0.999 * v[i] + 0.001 * grad.square()
            old.data -= 1e-3 * (m[i] / (1 - 0.5**t)) / ((v[i] / (1 - 0.999**t)).sqrt() + 1e-8)
            live = grad.abs() > 1e-6  # a bias ahead of an instance norm has rounding noise for a gradient
            torch.testing.assert_close(new[live], old[live], rtol=0, atol=1e-9)


def test_step_without_identity_loss_takes_other_channel_counts():
    losses = make_model(lambda_identity=0.0, channels_b=1).step(images(1, 3, 12, 12), images(1, 1, 12, 12))
    assert losses["idt_A"] == losses["idt_B"] == 0.0
    assert set(losses) == {f"{kind}_{side}" for kind in ("D", "G", "cycle", "idt") for side in "AB"}


def test_discriminators_see_their_pools_and_pool_b_is_asked_first():
    rng = Scripted(0.9, 0, 0.1)  # for both pools: the first to ask gives back its old fake, the second the new one
    model = make_model(pool=1, rng=rng)
    a, b = images(1, 3, 12, 12), images(1, 3, 12, 12, seed=1)
    fake_a, fake_b = model.gen_ba(b).detach(), model.gen_ab(a).detach()
    model.step(a, b)
    assert model.pool_a.images[0].equal(fake_a) and model.pool_b.images[0].equal(fake_b) and not rng.asked
    new_fake_a, da, db = model.gen_ba(b).detach(), copy.deepcopy(model.disc_a), copy.deepcopy(model.disc_b)
    losses = model.step(a, b)
    assert rng.asked == ["random", "integers(1)", "random"]
    assert losses["D_A"] == pytest.approx(D_TERM["lsgan"](db(b), db(fake_b)).item(), rel=1e-10)
    assert losses["D_B"] == pytest.approx(D_TERM["lsgan"](da(a), da(new_fake_a)).item(), rel=1e-10)
