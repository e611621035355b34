"""pix2pix: steps beside torch in float64, dropout that resumes exactly, aligned data, and the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from kernels.dropout.reference import kept
from nn import UnetGenerator
from nn.layers import Dropout, dropping
from tests.steps import step_alike
from tests.torch_reference import (
    TorchPatchDiscriminator,
    TorchUnetGenerator,
    UnetBlock,
    d_loss,
    g_loss,
    load_numpy_state,
    to_numpy,
    to_torch,
)
from train.config.settings import Config
from train.data.dataset import AlignedDataset
from train.errors import UserError
from train.files import checkpoint
from train.pix2pix import Pix2Pix, Pix2PixConfig, main
from train.run import display

SIZE, BATCH, STEPS = 64, 2, 4
TINY = Pix2PixConfig(
    netG="unet_64", ngf=2, ndf=3, load_size=SIZE, crop_size=SIZE, batch_size=BATCH, device="cpu", seed=3, init_gain=0.1
)


def images(steps: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    draw = lambda: np.tanh(rng.normal(0.3, 1.0, (BATCH, SIZE, SIZE, 3)))
    return [(draw(), draw()) for _ in range(steps)]


class TorchPix2Pix:
    """The reference implementation's step, with the masks of our Dropout layers put in behind the norms where it drops."""

    def __init__(self, model: Pix2Pix) -> None:
        c = model.config
        self.config, self.steps = c, 0
        self.gen, self.disc = TorchUnetGenerator(3, 3, 6, c.ngf).double(), TorchPatchDiscriminator(6, c.ndf).double()
        load_numpy_state(self.gen, model.gen.state_dict())
        load_numpy_state(self.disc, model.disc.state_dict())
        blocks = [m for m in self.gen.modules() if isinstance(m, UnetBlock)]  # from the outside in
        blocks[3].model[-1].register_forward_hook(self.drop)  # 64 pixels: one level of 8*ngf that is not the innermost
        adam = lambda net: torch.optim.Adam(net.parameters(), c.lr, (c.beta1, 0.999))
        self.opt_g, self.opt_d = adam(self.gen), adam(self.disc)
        self.layer = [i for i, m in enumerate(m for _, m in model.gen.named_modules() if isinstance(m, Dropout)) if m.p]

    def drop(self, module: Any, inputs: Any, y: torch.Tensor) -> torch.Tensor:
        key = int(np.random.SeedSequence([self.config.seed, self.steps, *self.layer]).generate_state(1)[0])
        n, c, h, w = y.shape
        mask = kept(np, (n, h, w, c), self.config.dropout, key).transpose(0, 3, 1, 2)
        return y * torch.tensor(np.ascontiguousarray(mask)) / (1 - self.config.dropout)

    def step(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, float]:
        mode = self.config.gan_mode
        fake = self.gen(a)
        real_score, fake_score = self.disc(torch.cat([a, b], 1)), self.disc(torch.cat([a, fake.detach()], 1))
        loss_d = d_loss(real_score, fake_score, mode)
        self.opt_d.zero_grad()
        loss_d.backward()
        self.opt_d.step()
        gan, distance = g_loss(self.disc(torch.cat([a, fake], 1)), mode), 100 * F.l1_loss(fake, b)
        self.opt_g.zero_grad()
        (gan + distance).backward()
        self.opt_g.step()
        self.steps += 1
        return {"G_GAN": gan.item(), "G_L1": distance.item(), "D": loss_d.item()}


@pytest.mark.parametrize("gan_mode", ["vanilla", "lsgan", "hinge"])
def test_steps_beside_torch_in_float64(gan_mode: str) -> None:
    model = Pix2Pix(TINY.replace(gan_mode=gan_mode)).astype("float64")
    truth = TorchPix2Pix(model)
    assert len(truth.layer) == 1
    for a, b in images(STEPS):
        losses, wanted = model.step(a, b), truth.step(to_torch(a), to_torch(b))
        assert losses["G_GAN"] == pytest.approx(wanted["G_GAN"], rel=1e-11)
        assert losses["G_L1"] == pytest.approx(wanted["G_L1"], rel=1e-11)
        assert (losses["D_real"] + losses["D_fake"]) / 2 == pytest.approx(wanted["D"], rel=1e-11)
    trained = {name for name, p in model.gen.named_parameters() if p.trained}
    for name, value in truth.gen.state_dict().items():
        if name in trained:
            assert np.abs(model.gen.state_dict()[name] - value.numpy()).max() < 1e-11, name
    with torch.no_grad():
        truth.config = truth.config.replace(dropout=0.0)  # translating drops nothing
        np.testing.assert_allclose(model.translate(a), to_numpy(truth.gen(to_torch(a))), atol=1e-6)


def test_dropping_is_on_only_inside_and_new_for_every_step_and_layer() -> None:
    gen = UnetGenerator(num_downs=7, ngf=2, dropout=0.5, seed=0)
    assert sum(m.p > 0 for _, m in gen.named_modules() if isinstance(m, Dropout)) == 2
    assert gen.state_dict().keys() == UnetGenerator(num_downs=7, ngf=2).state_dict().keys()
    x = np.random.default_rng(0).normal(size=(1, 128, 128, 3)).astype(np.float32)
    from autograd import Tensor

    def run(*stream: int) -> np.ndarray:
        with dropping(gen, lambda: stream):
            return gen(Tensor(x)).numpy()

    plain = gen(Tensor(x)).numpy()
    assert np.array_equal(run(0, 1), run(0, 1))
    for other in (run(0, 2), run(1, 1), plain):
        assert not np.array_equal(run(0, 1), other)
    assert np.array_equal(gen(Tensor(x)).numpy(), plain)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Three pairs of 70 x 66 pixels, as two folders; B is A darkened."""
    rng = np.random.default_rng(0)
    for i in range(3):
        a = rng.integers(0, 256, (66, 70, 3), np.uint8)
        for domain, picture in (("A", a), ("B", a // 2)):
            (tmp_path / "two" / f"train{domain}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(tmp_path / "two" / f"train{domain}" / f"{i}.png")
        (tmp_path / "one" / "train").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.concatenate([a, a // 2], axis=1)).save(tmp_path / "one" / "train" / f"{i}.png")
    return tmp_path


@pytest.mark.parametrize("preprocess", ["crop", "resize_and_crop"])
def test_pairs_stay_pairs(pairs: Path, preprocess: str) -> None:
    base = TINY.replace(load_size=66, preprocess=preprocess)
    two = AlignedDataset(base.replace(dataroot=str(pairs / "two")))
    one = AlignedDataset(base.replace(dataroot=str(pairs / "one")))
    back = AlignedDataset(base.replace(dataroot=str(pairs / "one"), direction="BtoA"))
    assert len(two) == len(one) == 3 and sorted(two.epoch_order(0)) == [(i, i) for i in range(3)]
    assert two.epoch_order(0) != two.epoch_order(1) or two.epoch_order(1) != two.epoch_order(2)
    for position in range(3):
        s, t, u = (d.sample(1, position) for d in (two, one, back))
        assert np.abs((s.a + 1) / 2 - (s.b + 1)).mean() < 0.01  # the same crop, mirrored alike; a wrong one: 0.3
        assert np.array_equal(s.a, t.a) and np.array_equal(s.b, t.b) and np.array_equal(u.a, t.b)
    drawn = AlignedDataset(TINY.replace(max_dataset_size=2, builtin="streets")).sample(0, 0)
    assert drawn.name_a == drawn.name_b


def test_mistakes_in_aligned_data_are_named(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pairs / "two" / "trainB" / "1.png").rename(pairs / "two" / "trainB" / "x.png")
    with pytest.raises(UserError, match=r"not every one has one partner of its name \(alone in A: 1; alone in B: x\)"):
        AlignedDataset(TINY.replace(dataroot=str(pairs / "two")))
    (pairs / "two" / "trainA" / "0.jpg").write_bytes((pairs / "two" / "trainA" / "0.png").read_bytes())
    with pytest.raises(UserError, match=r"more than once: 0 \(0\.jpg, 0\.png\); alone in A: 1;"):
        AlignedDataset(TINY.replace(dataroot=str(pairs / "two")))
    Image.fromarray(np.zeros((66, 71, 3), np.uint8)).save(pairs / "one" / "train" / "odd.png")
    with pytest.raises(UserError, match=r"odd.png: 71x66 pixels cannot be halved"):
        AlignedDataset(TINY.replace(dataroot=str(pairs / "one")))
    (pairs / "none").mkdir()
    with pytest.raises(UserError, match="or a folder train of images with A on the left"):
        AlignedDataset(TINY.replace(dataroot=str(pairs / "none")))
    assert main(["--dropout", "1", "--checkpoints_dir", str(pairs / "c")]) == 2
    assert main(["--lambda_A", "3"]) == 2
    told = capsys.readouterr().err
    assert "--dropout is 1.0; wanted a share" in told and "there is no option --lambda_A" in told
    assert "dataset_mode" in Config.options() and "dataset_mode" not in Pix2PixConfig.options()


def test_a_stopped_run_ends_with_the_bits_of_one_that_never_stopped(
    pairs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(display, "write_report", lambda *args, **kwargs: None)
    line = (
        f"--dataroot {pairs / 'one'} --preset tiny --load_size 66 --ngf 2 --ndf 2 --device cpu --n_epochs 2 "
        f"--n_epochs_decay 1 --checkpoints_dir {pairs / 'c'}"
    ).split()
    assert main([*line, "--name", "whole"]) == 0
    assert main([*line, "--name", "parts", "--max_steps", "4"]) == 0
    assert main(f"--continue_train --name parts --checkpoints_dir {pairs / 'c'} --max_steps 0".split()) == 0
    states = [checkpoint.load(pairs / "c" / name / "latest.npz")["model"] for name in ("whole", "parts")]
    for player in ("gen", "disc"):
        for key, value in states[0]["networks"][player].items():
            assert np.array_equal(value, states[1]["networks"][player][key]), key
    assert "9 steps done" in capsys.readouterr().out


@pytest.mark.slow
def test_the_interpreter_and_the_cpu_step_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Triton kernel of a step, those of a U-Net and its dropout among them: the losses, and all gradients."""
    from kernels.instance_norm import normalise

    # fewer programs: each takes the interpreter its time, however large
    monkeypatch.setattr(normalise, "BYTES", 1024)

    config = TINY.replace(ngf=1, ndf=1, netD="n_layers", n_layers_D=1, batch_size=1)
    there, here = (Pix2Pix(config.replace(device=device, precision="fp32")) for device in ("interpret", "cpu"))
    a, b = (x[:1].astype("float32") for x in images(1)[0])
    step_alike(there, here, a, b, least=1e-5)
