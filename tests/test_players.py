"""The two players' turns: rates of their own, further turns of the discriminators, what they are shown, and known pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autograd import Tensor
from tests.test_training_step import LOSS32, TINY, images
from tests.torch_reference import TorchDiffAugment, to_numpy, to_torch
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.errors import UserError
from train.models.diffaugment import Draw, diffaugment
from train.models.networks import discriminator
from train.run.schedule import Schedule

ALL = TINY.replace(
    n_critic=2, lr_D=0.0006, sup_frac=0.5, diffaugment="color,translation,cutout", batch_size=2, accumulate=2
)


def test_rates_fall_together_and_keep_their_ratio() -> None:
    config = TINY.replace(lr_D=0.0006, n_epochs=1, n_epochs_decay=2)
    model, schedule = CycleGAN(config), Schedule(config)
    for factor in (1, 2 / 3, 1 / 3):
        model.set_lr(schedule.lr)
        assert model.optimizers["g"].lr == pytest.approx(0.0002 * factor, rel=1e-12)
        assert model.optimizers["d"].lr == pytest.approx(0.0006 * factor, rel=1e-12)
        schedule.end_epoch(None)
    assert CycleGAN(TINY).optimizers["d"].lr == TINY.lr  # the very number


def test_each_turn_of_the_discriminators_has_pictures_of_its_own() -> None:
    config = TINY.replace(n_critic=3, pool_size=0)
    model, seen = CycleGAN(config), []
    judge = discriminator(config, 3, 0)  # a stand-in that notes what it is asked about
    forward = type(judge).forward

    def noted(self: object, x: Tensor) -> Tensor:
        seen.append((self is model.disc_b, x.numpy().copy()))
        return forward(self, x)  # type: ignore[arg-type]

    (a, b) = images(config, 1)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(judge), "forward", noted)
        model.step(a, b)
    assert model.optimizers["g"].steps == 1 and model.optimizers["d"].steps == 3
    of_b = [x for is_b, x in seen if is_b]
    assert len(of_b) == 4 and [len(x) for x in of_b] == [
        1,
        2,
        2,
        2,
    ]  # the generators' turn, then real and fake three times
    for turn in range(3):
        assert np.array_equal(of_b[1 + turn][0], b[turn].astype(np.float32))
    made = model.translate(a[1:2].astype(np.float32))  # the generators have moved once, before these fakes
    assert np.array_equal(of_b[2][1], made[0])


def test_an_exact_resume() -> None:
    first, pictures = CycleGAN(ALL), images(ALL, 3)
    for batch in pictures[:2]:
        first.step(*batch)
    second = CycleGAN(ALL)
    second.load_state_dict(first.state_dict())
    assert first.step(*pictures[2]) == second.step(*pictures[2])
    for name, network in first.networks().items():
        twin = second.networks()[name].state_dict()
        assert all(np.array_equal(value, twin[key]) for key, value in network.state_dict().items()), name


@pytest.mark.slow
def test_the_interpreter_plays_the_same_turns() -> None:
    config = ALL.replace(
        ngf=2,
        ndf=2,
        netD="n_layers",
        n_layers_D=1,
        load_size=12,
        crop_size=12,
        batch_size=1,
        accumulate=1,
        precision="fp32",
    )
    here, there = CycleGAN(config), CycleGAN(config.replace(device="interpret"))
    batch = [x.astype(np.float32) for x in images(config, 1)[0]]
    assert there.step(*batch) == pytest.approx(here.step(*batch), rel=LOSS32, abs=LOSS32)
    assert there.optimizers["d"].steps == 2


def drawing(seed: int) -> Draw:
    """Draws from a stream of its own."""
    rng = np.random.default_rng(seed)
    return lambda function: function(rng)


@pytest.mark.parametrize("policy", ["color", "translation", "cutout", "cutout,color,translation"])
@pytest.mark.parametrize("sides", [(16, 16), (9, 14), (3, 2)])
def test_diffaugment_beside_torch(policy: str, sides: tuple[int, int]) -> None:
    """Many pictures, so that draws reach the edges; outputs and gradients."""
    rng = np.random.default_rng(1)
    pictures, upstream = rng.normal(0.3, 1, (2, 24, *sides, 3))
    x, y = Tensor(pictures, requires_grad=True), to_torch(pictures).requires_grad_()
    mine = diffaugment(x, policy, drawing(5))
    theirs = TorchDiffAugment(policy, 0).changed(y, np.random.default_rng(5))
    assert np.abs(mine.numpy() - to_numpy(theirs)).max() <= 1e-13
    mine.backward(upstream)
    theirs.backward(to_torch(upstream))
    assert y.grad is not None and x.grad is not None
    assert np.abs(x.grad - to_numpy(y.grad)).max() <= 1e-13
    assert torch.equal(y, to_torch(pictures))


def test_pictures_are_changed_each_by_itself() -> None:
    same = np.repeat(np.random.default_rng(0).normal(size=(1, 16, 16, 3)), 4, axis=0)
    for policy in ("color", "translation", "cutout"):
        changed = diffaugment(Tensor(same), policy, drawing(0)).numpy()
        assert len({x.tobytes() for x in changed}) > 1, policy


@pytest.mark.parametrize(
    "settings, said",
    [
        (dict(diffaugment="colour"), "--diffaugment: there is no 'colour'; name some of color,translation,cutout"),
        (dict(diffaugment="color,"), "there is no ''"),
        (dict(diffaugment="color", gan_mode="wgangp"), "not for --gan_mode wgangp"),
        (dict(n_critic=0), "--n_critic is 0; wanted at least 1"),
        (dict(n_critic=2, lambda_GAN=0.0), "there are no discriminators"),
        (dict(lr=0.0, lr_D=0.1), "keeps its ratio to --lr, which is 0"),
        (dict(sup_frac=1.5), "--sup_frac is 1.5; wanted a share from 0 to 1"),
    ],
)
def test_what_does_not_go_together(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        Config(**settings).check()  # type: ignore[arg-type]
    assert said in str(caught.value)
