"""The training step as a whole: ten steps beside plain torch, and what one player's update must leave alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from autograd import Tensor
from autograd.lanes import lanes
from nn import UnetGenerator
from nn.stacked import as_one_batch
from tests.torch_reference import (
    TorchCycleGAN,
    TorchDiffAugment,
    TorchPatchDiscriminator,
    TorchPixelDiscriminator,
    TorchPool,
    TorchResnetGenerator,
    TorchUnetGenerator,
    load_numpy_state,
    to_torch,
)
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.errors import NonFiniteLoss
from train.models.cyclegan import NAMES

torch.set_num_threads(1)  # threads only get in each other's way on tensors this small
STEPS, POOL = 10, 3  # a pool so small that most steps swap

# Largest |ours - torch| / max(1, |torch|) over all losses of 10 steps and the cases below, measured: 2.4e-14 in float64,
# 5e-5 for float32 beside float64 (a ReLU or an L1 that falls on the other side of its kink moves a weight by as much as
# Adam's step; from then on the two runs are near, not equal). Weights in float64: 1.1e-14. Bounds are ten times that.
# At ten times this learning rate the same errors grow a thousandfold: training is chaotic, so the rate is the paper's.
LOSS64, LOSS32, WEIGHT64 = 2.5e-13, 5e-4, 1e-13

TINY = Config(
    ngf=4, ndf=4, n_blocks=1, load_size=24, crop_size=24, pool_size=POOL, lr=0.0002, device="cpu", seed=3, init_gain=0.1
)
CASES = {
    "lsgan": TINY,
    "vanilla, no identity": TINY.replace(gan_mode="vanilla", lambda_identity=0.0),
    "hinge, batch 2": TINY.replace(gan_mode="hinge", batch_size=2),
    "unequal weights": TINY.replace(lambda_A=3.0, lambda_B=11.0, lambda_identity=0.7, batch_size=2),
    "channels differ": TINY.replace(input_nc=1, lambda_identity=0.0, lambda_A=5.0),
    "nearest, pixel": TINY.replace(upsample="nearest", netD="pixel", crop_size=16),
    "bilinear, two layers": TINY.replace(upsample="bilinear", netD="n_layers", n_layers_D=2, n_blocks=2, crop_size=20),
    "no pool, beta": TINY.replace(pool_size=0, beta1=0.9, gan_mode="hinge", lambda_B=0.0),
    "wgangp, batch 2": TINY.replace(gan_mode="wgangp", batch_size=2, lambda_GAN=0.8, lambda_gp=7.0),
    "GAN alone": TINY.replace(lambda_A=0.0, lambda_B=0.0, lambda_identity=0.0),
    "cycle alone": TINY.replace(lambda_GAN=0.0, lambda_identity=0.0),
    "two critic steps, rates apart": TINY.replace(n_critic=2, lr_D=0.0005),
    "critic steps of wgangp": TINY.replace(n_critic=3, gan_mode="wgangp", batch_size=2),
    "some pairs": TINY.replace(sup_frac=0.5, lambda_sup=3.0, lambda_identity=0.0),
    "DiffAugment": TINY.replace(diffaugment="color,translation,cutout", batch_size=2, n_critic=2),
    "unet": TINY.replace(netG="unet_128", crop_size=32, ngf=2),  # with five levels in the place of seven
}


def ours(config: Config, dtype: str) -> CycleGAN:
    """Our model; its U-Nets have five levels, because 128 pixels would be slow."""
    model = CycleGAN(config if config.netG == "resnet" else config.replace(netG="resnet"))
    if config.netG != "resnet":
        common = dict(num_downs=5, ngf=config.ngf, init_gain=config.init_gain)
        model.gen_ab = UnetGenerator(config.input_nc, config.output_nc, seed=1, **common)
        model.gen_ba = UnetGenerator(config.output_nc, config.input_nc, seed=2, **common)
        model.players["g"] = {"gen_ab": model.gen_ab, "gen_ba": model.gen_ba}
    return model.astype(dtype)


def torchs(config: Config, model: CycleGAN) -> TorchCycleGAN:
    """Torch's model in float64, with the weights of `model`."""

    def generator(cin: int, cout: int) -> torch.nn.Module:
        if config.netG == "resnet":
            return TorchResnetGenerator(cin, cout, config.ngf, config.n_blocks, config.upsample)
        return TorchUnetGenerator(cin, cout, 5, config.ngf)

    def discriminator(cin: int) -> torch.nn.Module:
        if config.netD == "pixel":
            return TorchPixelDiscriminator(cin, config.ndf)
        return TorchPatchDiscriminator(cin, config.ndf, config.n_layers_D)

    a, b = config.input_nc, config.output_nc
    nets = {
        "gen_ab": generator(a, b),
        "gen_ba": generator(b, a),
        "disc_a": discriminator(a),
        "disc_b": discriminator(b),
    }
    for name, network in model.networks().items():
        load_numpy_state(nets[name].double(), network.state_dict())
    return TorchCycleGAN(
        **nets, lr=config.lr, lr_D=config.lr_D or config.lr, n_critic=config.n_critic, lambda_sup=config.lambda_sup,
        augment=TorchDiffAugment(config.diffaugment, config.seed), beta1=config.beta1, lambda_A=config.lambda_A, lambda_B=config.lambda_B,
        lambda_identity=config.lambda_identity, gan_mode=config.gan_mode, lambda_GAN=config.lambda_GAN,
        lambda_gp=config.lambda_gp, mixing=np.random.default_rng([config.seed, 6]),
        pool_a=TorchPool(config.pool_size, np.random.default_rng([config.seed, 4])),
        pool_b=TorchPool(config.pool_size, np.random.default_rng([config.seed, 5])),
    )  # fmt: skip


def images(config: Config, steps: int) -> list[tuple[np.ndarray, ...]]:
    """For each step a batch of A and one of B, float64 [N,H,W,C] in [-1, 1], of uneven brightness; and two of pairs, if some are known."""
    rng = np.random.default_rng(0)
    shape = (config.images_per_step, config.crop_size, config.crop_size)
    channels = (config.input_nc, config.output_nc) * (2 if config.sup_frac else 1)
    return [tuple(np.tanh(rng.normal(0.3, 1.0, (*shape, c))) for c in channels) for _ in range(steps)]


def worst_loss(model: CycleGAN, truth: TorchCycleGAN, batches: list[tuple[np.ndarray, ...]]) -> float:
    """Train both on the same pictures; the largest difference of a loss, relative where the loss exceeds 1."""
    worst = 0.0
    names = {*NAMES, *(("sup_A", "sup_B") if model.config.sup_frac else ())}
    for number, pictures in enumerate(batches):
        losses, wanted = model.step(*pictures), truth.step(*map(to_torch, pictures))
        assert losses.keys() == wanted.keys() == names
        difference = {name: abs(losses[name] - wanted[name]) / max(1.0, abs(wanted[name])) for name in names}
        assert all(d <= LOSS32 for d in difference.values()), f"step {number + 1}: {losses} beside {wanted}"
        worst = max(worst, *difference.values())
    return worst


def dead(network: Any) -> set[str]:
    """Biases ahead of an instance norm: without effect on any picture, kept for exchange only."""
    return {name for name, parameter in network.named_parameters() if not parameter.trained}


@pytest.mark.parametrize(
    "case",
    [
        c
        if c in ("lsgan", "GAN alone", "two critic steps, rates apart", "some pairs", "DiffAugment")
        else pytest.param(c, marks=pytest.mark.slow)
        for c in CASES
    ],
)
def test_steps_beside_torch_in_float64(case: str) -> None:
    config = CASES[case]
    model = ours(config, "float64")
    truth = torchs(config, model)
    before = {name: network.state_dict() for name, network in model.networks().items()}
    assert worst_loss(model, truth, images(config, STEPS)) <= LOSS64
    for name, network in model.networks().items():
        wanted = getattr(truth, name).state_dict()
        trained = network.state_dict().keys() - dead(network)
        assert any(key.endswith("bias") for key in trained)  # a first or last layer's: not all biases are dead
        for key in trained:
            mine = network.state_dict()[key]
            moved = np.abs(mine - before[name][key]).max()
            if config.lambda_GAN == 0 and name.startswith("disc"):
                assert moved == 0, f"{name}.{key} was trained, though nobody asks it"
            elif key.endswith("weight"):
                assert moved > 1e-3, f"{name}.{key} was hardly trained"
            assert np.abs(mine - wanted[key].numpy()).max() <= WEIGHT64, f"{name}.{key}"


@pytest.mark.parametrize("case", [pytest.param("lsgan", marks=pytest.mark.slow), "unet"])
def test_steps_in_float32_beside_torch_in_float64(case: str) -> None:
    config = CASES[case]
    model = ours(config, "float32")
    truth = torchs(config, model)
    batches = [(a.astype(np.float32), b.astype(np.float32)) for a, b in images(config, STEPS)]
    for network in model.networks().values():
        assert all(p.dtype == np.float32 for p in network.parameters())
    assert worst_loss(model, truth, [(a.astype(np.float64), b.astype(np.float64)) for a, b in batches]) <= LOSS32
    assert model.translate(batches[0][0]).dtype == np.float32


@pytest.mark.slow
def test_the_comparison_sees_a_wrong_pool_and_a_wrong_weight() -> None:
    augmented = TINY.replace(diffaugment="translation", pool_size=0)
    changes: list[tuple[Config, dict[str, Any]]] = [
        (TINY, {"seed": 4}), (TINY, {"lambda_A": 10.001}), (TINY, {"beta1": 0.501}), (TINY, {"lr": 0.000201}),
        (TINY, {"lr_D": 0.000201}), (augmented, {"seed": 4}), (CASES["some pairs"], {"lambda_sup": 3.001}),
        (CASES["two critic steps, rates apart"], {"n_critic": 1}),
    ]  # fmt: skip
    for config, change in changes:
        model = ours(config, "float64")
        truth = torchs(config.replace(**change), model)
        try:
            assert worst_loss(model, truth, images(config, 5)) > 1000 * LOSS64, change
        except AssertionError as error:
            assert "beside" in str(error), error  # so far apart that it stopped at once


def test_runs_are_repeatable_and_seeds_matter() -> None:
    first, second, other = (CycleGAN(TINY.replace(seed=seed)) for seed in (3, 3, 4))
    for a, b in images(TINY, 4):
        assert first.step(a, b) == second.step(a, b)
    assert first.step(a, b) != other.step(a, b)
    nets = CycleGAN(TINY).networks()
    assert not np.array_equal(
        nets["gen_ab"].state_dict()["model.1.weight"], nets["gen_ba"].state_dict()["model.1.weight"]
    )
    assert not np.array_equal(
        nets["disc_a"].state_dict()["model.0.weight"], nets["disc_b"].state_dict()["model.0.weight"]
    )


def test_as_one_batch_is_two_passes() -> None:
    """Outputs and gradients of one batch of two equal those of two batches of one; unequal sizes go one by one."""
    (a, b), other = images(TINY, 1)[0], np.zeros((1, 40, 24, 3))

    def judged(joint: bool) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        disc = ours(TINY, "float64").disc_b
        x, y = Tensor(a), Tensor(b)
        outputs = as_one_batch(disc, (x, y)) if joint else (disc(x), disc(y))
        ((outputs[0] * outputs[0]).mean() + (outputs[1] * 3.0).mean()).backward()
        return [o.numpy() for o in outputs], {n: p.grad for n, p in disc.named_parameters() if p.trained}

    (outputs, grads), (apart, grads_apart) = judged(True), judged(False)
    for x, y in zip(outputs, apart, strict=True):
        assert x.shape == y.shape and np.abs(x - y).max() <= 1e-14
    for name, grad in grads.items():
        assert np.abs(grad - grads_apart[name]).max() <= 1e-13, name
    model = ours(TINY, "float64")
    first, second = as_one_batch(model.disc_b, (Tensor(a), Tensor(other)))
    assert np.array_equal(first.numpy(), apart[0]) and second.shape == (1, 3, 1, 1)


def test_domains_of_different_sizes_train() -> None:
    model = CycleGAN(TINY)
    losses = model.step(np.zeros((1, 24, 32, 3), np.float32), images(TINY, 1)[0][1])
    assert all(np.isfinite(value) for value in losses.values())


def snapshot(*networks: Any) -> list[Any]:
    return [
        (parameter.data.copy(), None if parameter.grad is None else parameter.grad.copy())
        for network in networks for _, parameter in network.named_parameters()
    ]  # fmt: skip


def same(before: list[Any], after: list[Any]) -> bool:
    return all(
        np.array_equal(d0, d1) and (g0 is g1 is None or (g0 is not None and g1 is not None and np.array_equal(g0, g1)))
        for (d0, g0), (d1, g1) in zip(before, after, strict=True)
    )


def test_each_player_moves_alone() -> None:
    model = CycleGAN(TINY)
    (first, (real_a, real_b)) = images(TINY, 2)
    model.step(*first)  # so that there are gradients to disturb
    gens, discs = (model.gen_ab, model.gen_ba), (model.disc_a, model.disc_b)
    a, b = model.tensor(real_a), model.tensor(real_b)

    was_gens, was_discs = snapshot(*gens), snapshot(*discs)
    directions = model.two_directions(a, b)
    model.update("g", model.generator_losses, directions)
    assert same(was_discs, snapshot(*discs)) and not same(was_gens, snapshot(*gens))

    was_gens = snapshot(*gens)
    model.update("d", model.discriminator_losses, directions)
    assert same(was_gens, snapshot(*gens)) and not same(was_discs, snapshot(*discs))
    assert all(p.requires_grad for network in model.networks().values() for p in network.parameters())


def test_lanes_give_the_same_bits_in_turn_and_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for pays in (False, True):
        monkeypatch.setattr("train.models.directions.side_by_side_pays", lambda size, pays=pays: pays)
        model = CycleGAN(TINY)
        losses = [model.step(a, b) for a, b in images(TINY, 3)]
        states.append([losses, flat(model.state_dict())])
    assert states[0] == states[1]


def test_a_lane_that_fails_leaves_no_gradient() -> None:
    x = Tensor(np.ones(3, np.float32), requires_grad=True)

    def work(factor: float) -> float:
        (x * factor).sum().backward()
        return 1 / factor

    for side_by_side in (False, True):
        with pytest.raises(ZeroDivisionError):
            lanes(work, [2.0, 0.0], side_by_side)
        assert x.grad is None
        assert lanes(work, [2.0, 4.0], side_by_side) == [0.5, 0.25]
        assert x.grad is not None and x.grad.tolist() == [6.0] * 3
        x.grad = None


@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_lane_adds_up_all_that_arrives_at_a_leaf(side_by_side: bool) -> None:
    x = Tensor(np.arange(3.0), requires_grad=True)

    def work(factor: float) -> None:
        (x * factor + x * x).sum().backward()  # x is used three times

    lanes(work, [2.0, 4.0], side_by_side)
    assert x.grad is not None and x.grad.tolist() == [6.0, 10.0, 14.0]  # 2 + 4, and 2 x from each


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_is_updated_with_a_loss_that_is_no_number(bad: float) -> None:
    model = CycleGAN(TINY)
    (a, b), (other, _) = images(TINY, 2)
    model.step(a, b)
    before = model.state_dict()
    spoilt = other.copy()
    spoilt[0, 3, 4, 1] = bad
    with pytest.raises(NonFiniteLoss, match=r"loss \w+ is (nan|inf)"), np.errstate(all="ignore"):
        model.step(spoilt, b)
    after = model.state_dict()
    for part in ("networks", "optimizers"):
        assert flat(before[part]) == flat(after[part])
    model.step(a, b)  # and it can go on


def test_a_spoilt_discriminator_loss_stops_before_its_own_update() -> None:
    model = CycleGAN(TINY)
    a, b = (model.tensor(x) for x in images(TINY, 1)[0])
    fake = np.full((1, 24, 24, 3), np.nan, np.float32)
    before = model.state_dict()
    with pytest.raises(NonFiniteLoss, match="loss D_A is nan"), np.errstate(all="ignore"):
        directions = model.two_directions(a, b)
        for d in directions:
            d.fake = fake
        model.update("d", model.discriminator_losses, directions)
    assert flat(before["networks"]) == flat(model.state_dict()["networks"])


def flat(tree: Any) -> list[Any]:
    """The leaves of a state as bytes and plain values."""
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in [key, *flat(tree[key])]]
    if isinstance(tree, list):
        return [leaf for item in tree for leaf in flat(item)]
    return [tree.tobytes() if isinstance(tree, np.ndarray) else tree]


def test_a_state_carried_to_another_model_continues_exactly() -> None:
    config = TINY.replace(gan_mode="wgangp")  # which draws random numbers besides the pools'
    first, second = CycleGAN(config), CycleGAN(config.replace(seed=9))
    batches = images(TINY, 10)
    for a, b in batches[:6]:
        first.step(a, b)
    second.load_state_dict(first.state_dict())
    for a, b in batches[6:]:
        assert first.step(a, b) == second.step(a, b)
    assert flat(first.state_dict()) == flat(second.state_dict())


def test_pictures_and_translate_do_not_disturb_training() -> None:
    quiet, watched = CycleGAN(TINY), CycleGAN(TINY)
    for a, b in images(TINY, 4):
        made = watched.pictures(a, b)
        assert np.array_equal(made["fake_b"], watched.translate(a)) and made["fake_b"].shape == a.shape
        assert np.array_equal(made["fake_a"], watched.translate(b, "BtoA"))
        assert quiet.step(a, b) == watched.step(a, b)
    assert set(made) == {f"{kind}_{domain}" for kind in ("real", "fake", "rec", "idt") for domain in "ab"}
    channels = CycleGAN(TINY.replace(input_nc=1, lambda_identity=0.0))
    assert "idt_a" not in channels.pictures(np.zeros((1, 24, 24, 1)), np.zeros((1, 24, 24, 3)))


def test_every_setting_of_a_case_is_used() -> None:
    """The cases above reach all choices of the networks and losses."""
    fields = {field.name: field.metadata["choices"] for field in dataclasses.fields(Config)}
    for name in ("gan_mode", "upsample", "netD"):
        assert {getattr(config, name) for config in CASES.values()} == set(fields[name])
