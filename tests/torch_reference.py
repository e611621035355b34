"""CycleGAN in plain torch: the truth that our own networks, losses and training step are measured against.

It shares no code with the rest of the project and takes no shortcut: nothing is batched or fused. Activations are NCHW;
`state_dict()` has the keys and layouts of the reference implementation (junyanz/pytorch-CycleGAN-and-pix2pix). Weights start as torch makes them: load the ones to compare.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def to_torch(x: np.ndarray) -> Tensor:
    """NHWC array to a contiguous NCHW tensor of the same dtype (a copy)."""
    return torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))  # [N,C,H,W]


def to_numpy(t: Tensor) -> np.ndarray:
    """NCHW tensor to a contiguous NHWC array of the same dtype."""
    return np.ascontiguousarray(t.detach().cpu().numpy().transpose(0, 2, 3, 1))  # [N,H,W,C]


def load_numpy_state(module: nn.Module, state: dict[str, np.ndarray]) -> None:
    """Copy a dict of host arrays into `module`; a missing, unknown or misshapen entry raises RuntimeError."""
    module.load_state_dict({key: torch.tensor(array) for key, array in state.items()}, strict=True)


def _norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, eps=1e-5, affine=False, track_running_stats=False)


class Stack(nn.Module):
    """Layers in a row, named `model`."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ResnetBlock(nn.Module):
    """x + block(x); nothing follows the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), _norm(channels), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), _norm(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ResizeConv(nn.Conv2d):
    """Double the picture, reflect its edge by 1, convolve with 3x3: stands where a transposed conv stood, same keys."""

    def __init__(self, in_channels: int, out_channels: int, mode: str) -> None:
        super().__init__(in_channels, out_channels, 3)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        align = {"nearest": None, "bilinear": False}[self.mode]  # torch refuses the argument for nearest
        x = F.interpolate(x, scale_factor=2, mode=self.mode, align_corners=align)  # [N,C,2H,2W]
        return super().forward(F.pad(x, (1, 1, 1, 1), mode="reflect"))  # [N,K,2H,2W]


class TorchResnetGenerator(Stack):
    """The paper's generator: 7x7 stem, two strided convs, residual blocks, two upsamplings, 7x7 head, tanh."""

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, ngf: int = 64, n_blocks: int = 9, upsample: str = "deconv"
    ) -> None:
        def up(cin: int, cout: int) -> nn.Module:
            if upsample == "deconv":
                return nn.ConvTranspose2d(cin, cout, 3, stride=2, padding=1, output_padding=1)
            return ResizeConv(cin, cout, upsample)

        super().__init__(
            nn.ReflectionPad2d(3), nn.Conv2d(in_channels, ngf, 7), _norm(ngf), nn.ReLU(),
            nn.Conv2d(ngf, 2 * ngf, 3, stride=2, padding=1), _norm(2 * ngf), nn.ReLU(),
            nn.Conv2d(2 * ngf, 4 * ngf, 3, stride=2, padding=1), _norm(4 * ngf), nn.ReLU(),
            *(ResnetBlock(4 * ngf) for _ in range(n_blocks)),
            up(4 * ngf, 2 * ngf), _norm(2 * ngf), nn.ReLU(),
            up(2 * ngf, ngf), _norm(ngf), nn.ReLU(),
            nn.ReflectionPad2d(3), nn.Conv2d(ngf, out_channels, 7), nn.Tanh(),
        )  # fmt: skip


class UnetBlock(nn.Module):
    """Halve, run the inner block, double; the result stands next to the input."""

    def __init__(self, outer: int, inner: int, submodule: UnetBlock | None = None) -> None:
        super().__init__()
        down = nn.Conv2d(outer, inner, 4, stride=2, padding=1)
        middle = [] if submodule is None else [_norm(inner), submodule]
        cin = inner if submodule is None else 2 * inner  # the skip doubles the channels
        up = nn.ConvTranspose2d(cin, outer, 4, stride=2, padding=1)
        self.model = nn.Sequential(nn.LeakyReLU(0.2), down, *middle, nn.ReLU(), up, _norm(outer))

    def forward(self, x: Tensor) -> Tensor:
        # There an in-place LeakyReLU also alters the x put beside the result; the ReLU that follows the
        # concatenation makes both the same: relu(leaky_relu(x)) = relu(x).
        return torch.cat([x, self.model(x)], dim=1)


class TorchUnetGenerator(nn.Module):
    """Encoder-decoder with skips: num_downs 7 is unet_128, 8 is unet_256 (at least 5; sides divide by 2**num_downs)."""

    def __init__(self, in_channels: int = 3, out_channels: int = 3, num_downs: int = 7, ngf: int = 64) -> None:
        super().__init__()
        block = UnetBlock(8 * ngf, 8 * ngf)  # built from the inside out
        for _ in range(num_downs - 5):
            block = UnetBlock(8 * ngf, 8 * ngf, block)
        for outer in (4 * ngf, 2 * ngf, ngf):
            block = UnetBlock(outer, 2 * outer, block)
        down = nn.Conv2d(in_channels, ngf, 4, stride=2, padding=1)
        up = nn.ConvTranspose2d(2 * ngf, out_channels, 4, stride=2, padding=1)
        self.model = Stack(down, block, nn.ReLU(), up, nn.Tanh())  # the outermost block; keys start with model.model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class TorchPatchDiscriminator(Stack):
    """PatchGAN: one logit per patch, [N,C,H,W] -> [N,1,P,Q]; n_layers 3 judges 70x70 patches."""

    def __init__(self, in_channels: int = 3, ndf: int = 64, n_layers: int = 3) -> None:
        layers: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        cin = ndf
        for i in range(1, n_layers + 1):
            cout = ndf * min(2**i, 8)
            stride = 2 if i < n_layers else 1
            layers += [nn.Conv2d(cin, cout, 4, stride=stride, padding=1), _norm(cout), nn.LeakyReLU(0.2)]
            cin = cout
        super().__init__(*layers, nn.Conv2d(cin, 1, 4, stride=1, padding=1))


class TorchPixelDiscriminator(nn.Module):
    """1x1 convs only: one logit per pixel, [N,C,H,W] -> [N,1,H,W]."""

    def __init__(self, in_channels: int = 3, ndf: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, ndf, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(ndf, 2 * ndf, 1), _norm(2 * ndf), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * ndf, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TorchPool:
    """Remembers up to `size` images; draws nothing until it is full, then p, and an index only if p > 0.5."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.images: list[Tensor] = []  # each [1,C,H,W]

    def query(self, images: Tensor) -> Tensor:
        """For each image of [N,C,H,W], in order: itself or one from the past; the result is detached."""
        return torch.cat([self._one(image) for image in images.detach().split(1)])  # [N,C,H,W]

    def _one(self, new: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(new)
        elif self.size > 0 and self.rng.random() > 0.5:
            i = int(self.rng.integers(self.size))
            self.images[i], new = new, self.images[i]
        return new


def linear_factor(epoch_index: int, n_epochs: int, n_epochs_decay: int, epoch_count: int = 1) -> float:
    """Share of the learning rate after `epoch_index` finished epochs: 1, then down to 1 / (n_epochs_decay + 1)."""
    return 1.0 - max(0, epoch_index + epoch_count - n_epochs) / (n_epochs_decay + 1)


def g_loss(pred: Tensor, mode: str) -> Tensor:
    """What a generator pays for the judgement `pred` on its picture."""
    return -pred.mean() if mode in ("hinge", "wgangp") else _judged(pred, True, mode)


def d_loss(real: Tensor, fake: Tensor, mode: str) -> Tensor:
    """What a discriminator pays for its two judgements; half, to slow it down against the generator."""
    return 0.5 * (_judged(real, True, mode) + _judged(fake, False, mode))


def gradient_penalty(disc: nn.Module, real: Tensor, fake: Tensor, share: Tensor, weight: float) -> Tensor:
    """Its penalty: the slope of each image's summed scores, at a mixture of its own, should have length 1."""
    mixed = (share * real + (1 - share) * fake).requires_grad_()
    pred = disc(mixed)
    (slope,) = torch.autograd.grad(pred, mixed, torch.ones_like(pred), create_graph=True)
    length = (slope.reshape(len(real), -1) + 1e-16).norm(2, dim=1)
    return weight * ((length - 1) ** 2).mean()


def _judged(pred: Tensor, is_real: bool, mode: str) -> Tensor:
    if mode == "wgangp":
        return -pred.mean() if is_real else pred.mean()
    if mode == "hinge":
        return F.relu(1 - pred if is_real else 1 + pred).mean()
    distance: dict[str, Callable] = {"lsgan": F.mse_loss, "vanilla": F.binary_cross_entropy_with_logits}
    return distance[mode](pred, torch.full_like(pred, float(is_real)))


class TorchDiffAugment:
    """DiffAugment as its authors write it, on [N,C,H,W], each picture by draws of its own; what is drawn depends on seed and place."""

    def __init__(self, policy: str, seed: int) -> None:
        self.policy, self.seed = policy, seed

    def __call__(self, place: tuple[int, ...], *pictures: Tensor) -> list[Tensor]:
        rng = np.random.default_rng([self.seed, 7, *place])
        return [self.changed(x, rng) for x in pictures]

    def changed(self, x: Tensor, rng: np.random.Generator) -> Tensor:
        for name in filter(None, self.policy.split(",")):
            x = getattr(self, name)(x, rng)
        return x

    @staticmethod
    def color(x: Tensor, rng: np.random.Generator) -> Tensor:
        bright, saturated, contrast = (torch.tensor(rng.random((len(x), 1, 1, 1))) for _ in range(3))
        x = x + (bright - 0.5)
        x = (x - x.mean(dim=1, keepdim=True)) * (saturated * 2) + x.mean(dim=1, keepdim=True)
        return (x - x.mean(dim=[1, 2, 3], keepdim=True)) * (contrast + 0.5) + x.mean(dim=[1, 2, 3], keepdim=True)

    @staticmethod
    def translation(x: Tensor, rng: np.random.Generator, ratio: float = 0.125) -> Tensor:
        """By a grid into the picture with a rim of zeros: pixel i of the result is pixel i - t of x."""
        n, _, h, w = x.shape
        grids = []
        for side in (h, w):
            shift = int(side * ratio + 0.5)
            t = torch.tensor(rng.integers(-shift, shift + 1, n))
            grids.append(torch.clamp(torch.arange(side)[None] - t[:, None] + 1, 0, side + 1))  # [N,side]
        padded = F.pad(x, [1, 1, 1, 1]).permute(0, 2, 3, 1)
        picked = padded[torch.arange(n)[:, None, None], grids[0][:, :, None], grids[1][:, None, :]]
        return picked.permute(0, 3, 1, 2)

    @staticmethod
    def cutout(x: Tensor, rng: np.random.Generator, ratio: float = 0.5) -> Tensor:
        n, _, h, w = x.shape
        rows, columns = (
            torch.clamp(
                torch.arange(size)[None] + torch.tensor(rng.integers(0, side + (1 - size % 2), n))[:, None] - size // 2,
                0, side - 1,
            )
            for side, size in ((side, int(side * ratio + 0.5)) for side in (h, w))
        )  # fmt: skip
        mask = torch.ones(n, h, w, dtype=x.dtype)
        mask[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]] = 0
        return x * mask[:, None]


class TorchCycleGAN:
    """Two generators, two discriminators, one Adam for each pair. `disc_b` judges domain B (there netD_A)."""

    def __init__(
        self, gen_ab: nn.Module, gen_ba: nn.Module, disc_a: nn.Module, disc_b: nn.Module, *,
        lr: float, beta1: float, lambda_A: float, lambda_B: float, lambda_identity: float,
        pool_a: TorchPool, pool_b: TorchPool, gan_mode: str = "lsgan", lambda_GAN: float = 1.0, lambda_gp: float = 10.0,
        mixing: np.random.Generator | None = None, lr_D: float = 0.0, n_critic: int = 1, lambda_sup: float = 0.0,
        augment: TorchDiffAugment | None = None,
    ) -> None:  # fmt: skip
        self.gen_ab, self.gen_ba, self.disc_a, self.disc_b = gen_ab, gen_ba, disc_a, disc_b
        self.discs = nn.ModuleList([disc_a, disc_b])
        self.lambda_A, self.lambda_B, self.lambda_identity = lambda_A, lambda_B, lambda_identity
        self.pool_a, self.pool_b, self.gan_mode = pool_a, pool_b, gan_mode
        self.lambda_GAN, self.lambda_gp, self.mixing = lambda_GAN, lambda_gp, mixing
        self.n_critic, self.lambda_sup, self.augment = n_critic, lambda_sup, augment or TorchDiffAugment("", 0)
        self.steps = {"g": 0, "d": 0}
        adam = functools.partial(torch.optim.Adam, betas=(beta1, 0.999), eps=1e-8)
        self.opt_g = adam(itertools.chain(gen_ab.parameters(), gen_ba.parameters()), lr=lr)
        self.opt_d = adam(itertools.chain(disc_b.parameters(), disc_a.parameters()), lr=lr_D or lr)

    def step(self, real_a: Tensor, real_b: Tensor, *pair: Tensor) -> dict[str, float]:
        """One update of the generators on the first of n_critic batches [N,C,H,W], and one of the discriminators on each; the
        losses, weighted, under its names. `pair`: images of A and of B that belong together."""
        size = len(real_a) // self.n_critic
        batches = list(zip(*(x.split(size) for x in (real_a, real_b, *pair)), strict=True))
        (a, b), known = batches[0][:2], batches[0][2:]
        losses, fake_b, fake_a = self.move_generators(a, b, *known)
        judged = [self.move_discriminators(a, b, fake_b, fake_a)]
        for a, b, *_ in batches[1:]:
            with torch.no_grad():
                fake_b, fake_a = self.gen_ab(a), self.gen_ba(b)
            judged.append(self.move_discriminators(a, b, fake_b, fake_a))
        return losses | {name: sum(each[name] for each in judged) / len(judged) for name in judged[0]}

    def move_generators(self, real_a: Tensor, real_b: Tensor, *pair: Tensor) -> tuple[dict[str, float], Tensor, Tensor]:
        """Their losses, and what they made before they moved."""
        loss, fake_b, fake_a = self.generators_turn(real_a, real_b, *pair)
        self.steps["g"] += 1
        return {name: value.item() for name, value in loss.items()}, fake_b, fake_a

    def generators_turn(
        self, real_a: Tensor, real_b: Tensor, *pair: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The same with the losses where they were computed."""
        fake_b = self.gen_ab(real_a)
        rec_a = self.gen_ba(fake_b)
        fake_a = self.gen_ba(real_b)
        rec_b = self.gen_ab(fake_a)

        self.discs.requires_grad_(False)
        self.opt_g.zero_grad()
        loss = {
            "G_A": self.lambda_GAN * g_loss(self.disc_b(self.shown("A", "g", fake_b)[0]), self.gan_mode),
            "G_B": self.lambda_GAN * g_loss(self.disc_a(self.shown("B", "g", fake_a)[0]), self.gan_mode),
            "cycle_A": self.lambda_A * F.l1_loss(rec_a, real_a),
            "cycle_B": self.lambda_B * F.l1_loss(rec_b, real_b),
        }
        loss["idt_A"] = loss["idt_B"] = real_a.new_zeros(())
        if self.lambda_identity > 0:  # otherwise the domains may differ in their number of channels
            loss["idt_A"] = self.lambda_B * self.lambda_identity * F.l1_loss(self.gen_ab(real_b), real_b)
            loss["idt_B"] = self.lambda_A * self.lambda_identity * F.l1_loss(self.gen_ba(real_a), real_a)
        if pair:
            loss["sup_A"] = self.lambda_sup * F.l1_loss(self.gen_ab(pair[0]), pair[1])
            loss["sup_B"] = self.lambda_sup * F.l1_loss(self.gen_ba(pair[1]), pair[0])
        torch.stack(list(loss.values())).sum().backward()
        self.opt_g.step()
        return loss, fake_b, fake_a

    def move_discriminators(self, real_a: Tensor, real_b: Tensor, fake_b: Tensor, fake_a: Tensor) -> dict[str, float]:
        """Their losses."""
        loss = self.discriminators_turn(real_a, real_b, fake_b, fake_a)
        self.steps["d"] += 1
        return {name: value.item() for name, value in loss.items()}

    def discriminators_turn(self, real_a: Tensor, real_b: Tensor, fake_b: Tensor, fake_a: Tensor) -> dict[str, Tensor]:
        """The same where they were computed."""
        self.discs.requires_grad_(True)
        self.opt_d.zero_grad()
        loss = {}
        for name, disc, real, pool, fake in (
            ("D_A", self.disc_b, real_b, self.pool_b, fake_b), ("D_B", self.disc_a, real_a, self.pool_a, fake_a),
        ):  # fmt: skip
            if self.lambda_GAN == 0:  # nobody asks the discriminators
                loss[name] = real.new_zeros(())
                continue
            fake = pool.query(fake)
            real_shown, fake_shown = self.shown(name[-1], "d", real, fake)
            loss[name] = d_loss(disc(real_shown), disc(fake_shown), self.gan_mode)
            if self.gan_mode == "wgangp":
                assert self.mixing is not None
                share = torch.tensor(self.mixing.random((len(real), 1, 1, 1)))
                loss[name] = loss[name] + 0.5 * gradient_penalty(disc, real, fake, share, self.lambda_gp)
            loss[name].backward()
        self.opt_d.step()
        return loss

    def shown(self, direction: str, player: str, *pictures: Tensor) -> list[Tensor]:
        """Pictures as a discriminator sees them in this turn."""
        return self.augment(("AB".index(direction), "gd".index(player), self.steps[player], 0), *pictures)
