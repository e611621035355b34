"""The torch truth against things known without it: published counts, hand-written formulas, hand-made decisions."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.torch_reference import (
    TorchCycleGAN,
    TorchPatchDiscriminator,
    TorchPixelDiscriminator,
    TorchPool,
    TorchResnetGenerator,
    TorchUnetGenerator,
    linear_factor,
    load_numpy_state,
    to_numpy,
    to_torch,
)

torch.set_num_threads(1)  # threads only get in each other's way on tensors this small
META = torch.device("meta")  # shapes without memory: the full-size networks cost nothing


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def keys(*layers: str) -> list[str]:
    return [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]


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


# Networks


def test_resnet_generator_has_the_published_size_and_keys():
    with META:
        nine, six = TorchResnetGenerator(), TorchResnetGenerator(n_blocks=6)
    blocks = [f"model.{i}.conv_block.{j}" for i in range(10, 19) for j in (1, 5)]
    assert list(nine.state_dict()) == keys("model.1", "model.4", "model.7", *blocks, "model.19", "model.22", "model.26")
    assert len(nine.state_dict()) == 48
    assert list(six.state_dict())[-6:] == keys("model.16", "model.19", "model.23")
    assert (count(nine), count(six)) == (11_378_179, 7_837_699)
    assert nine.state_dict()["model.19.weight"].shape == (256, 128, 3, 3)  # transposed conv: (in, out, kH, kW)


@pytest.mark.parametrize("upsample", ["nearest", "bilinear"])
def test_resize_conv_keeps_the_keys_and_the_picture_size(upsample):
    with META:
        deconv, resize = TorchResnetGenerator(), TorchResnetGenerator(upsample=upsample)
    assert list(resize.state_dict()) == list(deconv.state_dict())
    assert resize.state_dict()["model.19.weight"].shape == (128, 256, 3, 3)  # conv: (out, in, kH, kW)
    assert count(resize) == count(deconv)
    assert TorchResnetGenerator(2, 1, 2, 1, upsample)(torch.rand(1, 2, 12, 20)).shape == (1, 1, 12, 20)


def test_resize_conv_by_hand():
    x = torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]])
    rows = {"nearest": [0.0, 0.0, 4.0, 4.0], "bilinear": [0.0, 1.0, 3.0, 4.0]}  # bilinear samples at pixel centres
    for mode, row in rows.items():
        conv: Any = TorchResnetGenerator(1, 1, 1, 0, mode).model[10]  # 4 channels to 2
        conv.weight.data.zero_()
        conv.weight.data[0, 0, 1, 0], conv.bias.data[:] = 1.0, 0.5  # takes the left neighbour, adds a half
        expected = torch.tensor([row[1], *row[:3]]) + 0.5  # the edge is reflected
        assert torch.equal(conv(torch.cat([x] * 4, 1))[0, 0, 0], expected)


def test_residual_block_ends_with_the_sum():
    block: Any = TorchResnetGenerator(1, 1, 1, 1).model[10]
    for parameter in block.conv_block[5].parameters():
        parameter.data.zero_()
    x = torch.randn(1, 4, 6, 6)
    assert (x < 0).any() and torch.equal(block(x), x)


def test_patch_discriminator_has_the_published_size_keys_and_maps():
    with META:
        net = TorchPatchDiscriminator()
    x, sides = torch.zeros(1, 3, 256, 256), []
    for layer in TorchPatchDiscriminator(ndf=1).model:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            sides.append(x.shape[-1])
    assert sides == [128, 64, 32, 31, 30] and x.shape == (1, 1, 30, 30)
    assert list(net.state_dict()) == keys("model.0", "model.2", "model.5", "model.8", "model.11")
    assert [i for i, layer in enumerate(net.model) if isinstance(layer, nn.InstanceNorm2d)] == [3, 6, 9]
    assert count(net) == 2_764_737


def test_one_logit_of_the_patch_discriminator_sees_70_pixels():
    net = TorchPatchDiscriminator(1, 2).double()
    stack = nn.Sequential(*(m for m in net.model if not isinstance(m, nn.InstanceNorm2d)))  # the norm sees everything
    x = images(1, 1, 128, 128).requires_grad_()
    stack(x)[0, 0, 7, 7].backward()
    assert x.grad is not None
    seen = x.grad[0, 0].abs().sum(0).nonzero()
    assert int(seen.max() - seen.min()) + 1 == 70


@pytest.mark.parametrize(("n_layers", "channels"), [(1, [8, 16, 1]), (5, [8, 16, 32, 64, 64, 64, 1])])
def test_patch_discriminator_of_other_depths(n_layers, channels):
    convs = [m for m in TorchPatchDiscriminator(3, 8, n_layers).model if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convs] == channels
    assert [c.stride[0] for c in convs] == [2] * n_layers + [1, 1]


def test_pixel_discriminator():
    net = TorchPixelDiscriminator()
    assert list(net.state_dict()) == keys("net.0", "net.2", "net.5")
    assert count(net) == (3 * 64 + 64) + (64 * 128 + 128) + (128 + 1)
    assert TorchPixelDiscriminator(2, 3)(torch.rand(1, 2, 5, 7)).shape == (1, 1, 5, 7)


@pytest.mark.parametrize(("num_downs", "size", "published"), [(7, 41_825_667, 41.829), (8, 54_409_603, 54.414)])
def test_unet_generator_size_by_formula(num_downs, size, published):
    """4x4 kernels down from 3 to 64 128 256 512 512 ..; back up, each stage but the innermost reads its skip too."""
    down, out = [64, 128, 256] + [512] * (num_downs - 3), [3, 64, 128, 256] + [512] * (num_downs - 4)
    weights = 16 * sum(cin * cout for cin, cout in zip([3, *down], down, strict=False))
    weights += 16 * sum(2 * cin * cout for cin, cout in zip(down, out, strict=True)) - 16 * 512 * 512
    with META:
        assert count(TorchUnetGenerator(num_downs=num_downs)) == weights + sum(down) + sum(out) == size
    # Published for batch norm, in millions: no biases but the last conv's, two numbers for each normed channel.
    normed = sum(down[1:-1]) + sum(out[1:])
    assert round((weights + 3 + 2 * normed) / 1e6, 3) == published


def test_unet_generator_forward_by_hand():
    net = TorchUnetGenerator(2, 1, num_downs=6, ngf=1).double()
    state = dict(net.state_dict())
    prefixes = ["model.model."] + ["model.model.1.model." + "3.model." * i for i in range(5)]
    downs = [prefixes[0] + "0", *(p + "1" for p in prefixes[1:])]
    ups = [prefixes[0] + "3", *(p + "5" for p in prefixes[1:-1]), prefixes[-1] + "3"]
    assert set(state) == set(keys(*downs, *ups)) and len(state) == 24

    x = images(1, 2, 64, 128)
    skips, h = [], x
    for i, layer in enumerate(downs):
        h = F.conv2d(h, state[layer + ".weight"], state[layer + ".bias"], stride=2, padding=1)
        if 0 < i < 5:
            h = F.instance_norm(h)
        skips.append(h)
        h = F.leaky_relu(h, 0.2, inplace=i < 5)  # in place, as in the field's code: the skip sees it too
    h = skips.pop()
    for i in reversed(range(6)):
        h = F.conv_transpose2d(F.relu(h), state[ups[i] + ".weight"], state[ups[i] + ".bias"], stride=2, padding=1)
        if i > 0:
            h = torch.cat([skips.pop(), F.instance_norm(h)], 1)
    assert h.shape == (1, 1, 64, 128)
    torch.testing.assert_close(net(x), h.tanh(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [lambda: TorchResnetGenerator(3, 3, 2, 1), lambda: TorchUnetGenerator(3, 3, 5, 1)])
def test_a_batch_is_the_same_as_one_image_at_a_time(make):
    """Instance norm keeps images apart, so the identity pass may share a batch with the translation."""
    net = make().double()
    a, b, weight = images(1, 3, 32, 32), images(1, 3, 32, 32, seed=1), images(2, 3, 32, 32, seed=2)
    apart, together = torch.cat([net(a), net(b)]), net(torch.cat([a, b]))
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
    params = list(net.parameters())
    for one, two in zip(*(torch.autograd.grad((y * weight).sum(), params) for y in (together, apart)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-9)


# Helpers


def test_arrays_and_weights_travel_both_ways():
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 4, 3)
    t = to_torch(x)
    assert t.shape == (1, 3, 2, 4) and t[0, 2, 1, 3] == x[0, 1, 3, 2]
    np.testing.assert_array_equal(to_numpy(t), x)
    source, target = TorchPixelDiscriminator(3, 2), TorchPixelDiscriminator(3, 2).double()
    state = {k: v.numpy().copy() for k, v in source.state_dict().items()}
    load_numpy_state(target, state)
    assert all(np.array_equal(v.numpy(), state[k]) for k, v in target.state_dict().items())
    for bad in ({**state, "more": x}, dict(list(state.items())[1:]), {**state, "net.0.bias": x}):
        with pytest.raises(RuntimeError):
            load_numpy_state(target, bad)


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
