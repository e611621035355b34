"""The opened step: it is the step, to the bit, and every number said of it is true."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograd import Tensor, no_grad
from benchmarks.costs import convolution_flops
from lessons.plain_step import PlainStep
from lessons.sources import by_loss as by_loss_of_the_plain_step
from nn.losses import gradient_penalty
from nn.trace import Trace
from train.config.settings import Config
from train.data.builtin.scenes import scene
from train.data.saving import save_image
from train.errors import UserError
from train.evaluation.explained_step import Draw, Explained, explain, twin_of, watched
from train.evaluation.gradient_sources import joined, shares
from train.evaluation.look import looked_at
from train.evaluation.loss_terms import terms
from train.evaluation.opening_step import saved, subject
from train.evaluation.overhearing import LETTERS
from train.explain import main
from train.files import checkpoint
from train.models.cyclegan import CycleGAN
from train.models.pix2pix import Pix2Pix
from train.report.explain import story
from train.report.explain.figures import Figures
from train.report.explain.text import text
from train.report.explain.tree import Branch, tree

SMALL: dict[str, Any] = dict(
    load_size=32,
    crop_size=32,
    ngf=3,
    ndf=3,
    n_blocks=1,
    netD="n_layers",
    n_layers_D=1,
    lr=0.01,
    pool_size=2,
    device="cpu",
)


def pictures(seed: int, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    a, b = (scene(domain, seed + i, size)[None].astype(np.float32) for i, domain in enumerate("AB"))
    return a, b


def trained(steps: int = 2, size: int = 32, **settings: Any) -> CycleGAN:
    """A model after some steps, so that pools, moments and averages hold something."""
    model = CycleGAN(Config(**{**SMALL, "load_size": size, "crop_size": size, **settings}))
    for i in range(steps):
        model.step(*pictures(10 * i, size))
    return model


@pytest.fixture(scope="module")
def opened() -> Explained:
    return explain(trained(3), *pictures(100))


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """What a tree of dicts and lists holds."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if inner is None:
        return {path: value}
    return {k: v for key, child in inner for k, v in leaves(child, f"{path}/{key}").items()}


KINDS: dict[str, dict[str, Any]] = {
    "as it is": {}, "wgangp": dict(gan_mode="wgangp"), "vanilla": dict(gan_mode="vanilla"), "hinge": dict(gan_mode="hinge"),
    "U-Net": dict(netG="unet_64", ngf=1, size=64), "pixel": dict(netD="pixel"), "EMA": dict(ema=0.9), "no pool": dict(pool_size=0),
    "no identity": dict(lambda_identity=0.0), "cycle alone": dict(lambda_GAN=0.0), "gray": dict(input_nc=1, lambda_identity=0.0),
    "accumulate": dict(accumulate=2), "bilinear": dict(upsample="bilinear"), "no cycle": dict(lambda_A=0.0, lambda_B=0.0),
}  # fmt: skip


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[] if k == "as it is" else pytest.mark.slow) for k in KINDS])
def test_it_is_the_step_itself_and_adds_up(kind: str):
    size = KINDS[kind].get("size", 32)
    a, b = pictures(100, size)
    settings = {name: value for name, value in KINDS[kind].items() if name != "size"}
    if kind == "gray":
        model = CycleGAN(Config(**{**SMALL, **settings}))
        a = a.mean(axis=3, keepdims=True)
    else:
        model = trained(2, size, **settings)
    other = twin_of(model)
    losses = other.step(a, b)
    found = explain(model, a, b)
    mine, wanted = leaves(model.state_dict()), leaves(other.state_dict())
    assert mine.keys() == wanted.keys() and len(wanted) > 100
    assert [key for key in wanted if not np.array_equal(mine[key], wanted[key])] == []
    assert found.same_bits and found.before.losses == losses
    assert "step" not in vars(model) and "update" not in vars(model) and "query" not in vars(model.pool_a)

    sums: dict[str, float] = {}
    for term in terms(found):
        sums[term.loss] = sums.get(term.loss, 0.0) + term.value
    for name, value in losses.items():
        assert abs(sums.get(name, 0.0) - value) <= 1e-5 * (1 + abs(value)), name
    for generator, network in model.players["g"].items():
        sources = joined(found.pulls, generator)
        for key, p in network.named_parameters():
            if p.grad is not None and sources:
                whole = sum(source[key] for source in sources.values() if key in source)
                assert np.abs(whole - p.grad).max() <= 2e-5 * (1 + np.abs(p.grad).max()), (generator, key)
    assert text(found, "") and found.after.losses.keys() == {n for n, v in losses.items() if n in found.after.losses}
    for scores in found.before.scores.values():
        assert scores.ndim == 2


def test_the_penalty_is_what_is_left_of_the_sum():
    """Computed for itself, where the step looked."""
    model = trained(2, gan_mode="wgangp", lambda_identity=0.0)
    twin = twin_of(model)
    a, b = pictures(100)
    found = explain(model, a, b)
    told = [t for t in terms(found) if t.about == "penalty"]
    for disc, real, term in ((twin.disc_b, b, told[0]), (twin.disc_a, a, told[1])):
        share = Tensor(twin.mixing.random((1, 1, 1, 1)).astype(np.float32))
        fake = next(d.out for d in found.draws if twin.networks()[d.discriminator] is disc)
        penalty = gradient_penalty(disc, Tensor(real), Tensor(fake[None]), share, term.weight).item()
        assert abs(term.value - penalty) < 1e-4 * penalty and penalty > 0.1


def test_each_source_is_what_the_plain_step_finds(opened: Explained):
    """lessons/plain_step.py, which shares no line with it: all losses' gradients of both generators."""
    model = trained(3)
    plain = PlainStep(model.gen_ab, model.gen_ba, model.disc_a, model.disc_b, pool_size=0)
    a, b = (Tensor(x) for x in pictures(100))
    wanted = by_loss_of_the_plain_step(plain, "generators", a, b)
    assert wanted.keys() == opened.pulls.keys()
    for loss, networks in wanted.items():
        for generator in ("gen_ab", "gen_ba"):
            for key, grad in networks[generator].items():
                got = opened.pulls[loss].parameters.get(generator, {}).get(key)
                assert (got is None) == (grad is None), (loss, generator, key)
                if grad is not None:
                    assert np.abs(got - grad).max() <= 2e-5 * (1 + np.abs(grad).max()), (loss, key)


def test_shares_add_up_to_one(opened: Explained):
    sources = joined(opened.pulls, "gen_ab")
    for some in ([key] for key in sources["cycle"]):
        found = shares(sources, some)
        assert abs(sum(s.share for s in found.values()) - 1) < 1e-9 and min(s.length for s in found.values()) > 0
    known = {"x": {"w": np.array([3.0, 0.0])}, "y": {"w": np.array([-1.0, 1.0])}}  # their sum is (2, 1)
    found = shares(known, ["w"])
    assert found["x"].share == 6 / 5 and found["y"].share == -1 / 5 and found["x"].length == 3


def test_a_look_is_what_the_networks_do(opened: Explained):
    """Pictures, scores and layers, before the step and after it, beside networks made of the same weights."""
    for look in (opened.before, opened.after):
        for name, letters in LETTERS.items():
            network = twin_of(opened.model).networks()[name]
            network.load_state_dict(look.weights[name])
            of = looked_at(name)
            with no_grad():
                y = network(Tensor(look.pictures[of][None])).numpy()[0]
            said = {**look.pictures, **look.scores}[f"{letters}({of})"]
            assert np.array_equal(y if y.shape == said.shape else y[:, :, 0], said)
            assert np.array_equal([*look.layers[name].values()][-1], y)
    assert {looked_at(name) for name in ("gen_ab", "disc_a")} == {"a"} and looked_at("gen_ba") == looked_at(
        "disc_b"
    ) == "b"


# -- who learns


def test_who_learns_and_what_is_cut(opened: Explained):
    told = {(f.turn, f.made): (f.learns, f.attached) for f in opened.forwards}
    assert told["generators", ("G(a)", "G(b)")] == (True, (False, False))
    assert told["generators", ("F(G(a))",)] == (True, (True,))
    assert told["generators", ("D_B(G(a))",)] == (False, (True,))  # frozen, yet the gradient passes
    assert told["discriminators", ("D_B(b)", "D_B(pool(G(a)))")] == (True, (False, False))  # cut
    words = story.histories(opened, "discriminators")
    assert words == "cut from their history go pool(G(a)) to D_B, pool(F(b)) to D_A"
    assert "G(a) to F, G(a) to D_B" in story.histories(opened, "generators")
    figures = Figures()
    story.embed(opened, figures)
    judged = next(f for f in opened.forwards if f.turn == "discriminators")
    for attached in ((False, False), (True, True)):  # were it not cut, the page would show it
        forwards = {judged.made[1]: (replace(judged, attached=attached), 1)}
        assert ("✂" in story.chain(figures, forwards, judged.made[1], "disc_b")) == (not attached[1])
    g, d = opened.turns["generators"], opened.turns["discriminators"]
    assert g.gradient["disc_b"] is None and g.moved["disc_b"] == 0 and g.moved["gen_ab"] > 0
    assert d.moved["gen_ab"] == 0 and d.moved["disc_b"] > 0 and d.gradient["disc_b"] is not None


def test_a_pool_says_what_it_did():
    """Seen over steps, beside a pool of the same seed."""
    model, seen = trained(0, pool_size=1), []
    for i in range(8):
        before = [np.array(x) for x in model.pool_b.images]
        draws: list[Draw] = []
        with watched(model, Trace(), [], draws, {}):
            model.step(*pictures(i))
        draw = next(d for d in draws if d.discriminator == "disc_b")
        assert np.array_equal(draw.out, before[draw.place]) if draw.older else np.array_equal(draw.out, draw.new)
        if draw.place >= 0:
            assert np.array_equal(model.pool_b.images[draw.place], draw.new)
        seen.append((draw.place, draw.older))
    assert seen[0] == (0, False) and {*seen[1:]} == {(0, True), (-1, False)}


# -- costs


def flat(branch: Branch) -> list[Branch]:
    return [branch, *(below for child in branch.children for below in flat(child))]


def test_parameters_and_products_are_those_of_the_networks(opened: Explained):
    branches = [b for turn in tree(opened) for b in flat(turn)]
    networks = [b for b in branches if b.kind == "network"]
    assert len(networks) == 8
    for branch, forward in zip(networks, opened.forwards, strict=True):
        network = opened.model.networks()[branch.network]
        assert branch.network == forward.network
        assert branch.parameters == sum(p.size for p in network.parameters())
        line = network.summary(32, 32).split("\n")[-1].split()
        alone = float(line[-1].replace(",", ""))  # MMAC of one picture
        assert abs(branch.macs / 1e6 / len(forward.made) - alone) < 0.06, branch.title
        for op in branch.ops():
            assert 2 * op.macs == (
                convolution_flops(op.name, op.shapes, op.output) if op.name.startswith("conv") else 0
            )
    assert all(op.backward_seconds is not None and op.seconds > 0 for b in networks for op in b.ops() if any(op.need))
    turns = tree(opened)
    assert turns[0].parameters == sum(b.parameters for b in networks[:3]) + networks[5].parameters
    assert sum(op.saved for op in opened.trace.ops) == sum(turn.saved for turn in turns) > 0
    assert 0 < sum(turn.forward + turn.backward for turn in turns) < opened.seconds


# -- the command


def test_pictures_of_ones_own(tmp_path: Path):
    """They are made as large as the run's; and whose pictures are gone is told how to go on."""
    for name, size in (("a.png", (90, 70)), ("b.png", (40, 40))):
        save_image(tmp_path / name, np.random.default_rng(0).uniform(-1, 1, (*size, 3)).astype(np.float32))
    opened = subject("", [tmp_path / "a.png", tmp_path / "b.png"])
    assert (
        opened.a.shape == opened.b.shape == (1, 64, 64, 3) and opened.names == ("a.png", "b.png") and opened.run == ""
    )
    model = trained(0, dataroot=str(tmp_path / "gone"), load_size=36, crop_size=(34), preprocess="resize_and_crop")
    state = {"program": "train.cyclegan", "config": model.config.as_dict(), "model": model.state_dict(), "run": {}}
    checkpoint.save(tmp_path / "run" / "latest.npz", state)
    with pytest.raises(UserError, match="--images A B"):
        subject(str(tmp_path / "run"), [])
    with pytest.raises(UserError, match="34x34 pixels: --netG resnet wants sides that are multiples of 4"):
        subject(str(tmp_path / "run"), [tmp_path / "a.png", tmp_path / "b.png"])


def test_only_runs_of_cyclegan_are_opened(tmp_path: Path, capsys):
    model = trained(1)
    state = {"program": "train.cyclegan", "config": model.config.as_dict() | {"batch_size": 3}, "model": model.state_dict(),
             "run": {"step": 7, "epoch": 2, "position": 4}}  # fmt: skip
    checkpoint.save(tmp_path / "run" / "latest.npz", state)
    again, _, place = saved(str(tmp_path / "run"))
    assert place == {"step": 7, "epoch": 2, "position": 12, "batch": 3}
    mine, wanted = leaves(again.state_dict()), leaves(model.state_dict())
    assert [key for key in wanted if not np.array_equal(mine[key], wanted[key])] == []

    other = Pix2Pix(Pix2Pix.settings(**{k: v for k, v in SMALL.items() if k in Pix2Pix.settings.options()}))
    checkpoint.save(
        tmp_path / "pix" / "latest.npz", {**state, "program": "train.pix2pix", "config": other.config.as_dict()}
    )
    checkpoint.save(tmp_path / "networks" / "latest.npz", {"networks": model.state_dict()["networks"], "about": {}})
    broken = {**state, "model": {"networks": model.state_dict()["networks"]}}
    checkpoint.save(tmp_path / "broken" / "latest.npz", broken)
    for path, words in (
        ("pix", "holds train.pix2pix; train.explain opens runs of train.cyclegan"),
        ("networks", "holds networks alone"),
        ("none", "there is no run"),
        ("broken", "not one whose training can go on"),
    ):
        with pytest.raises(UserError, match=words):
            saved(str(tmp_path / path))
    checkpoint.save(tmp_path / "fresh" / "latest.npz", {**state, "run": {}})
    assert saved(str(tmp_path / "fresh"))[2] == {"step": 0, "epoch": 1, "position": 0, "batch": 3}
    assert main(["--weights", str(tmp_path / "pix")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
