"""Augmented CycleGAN and its stochastic baseline in plain torch, as the paper and its authors' code have them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.torch_reference import Stack


class Affine(nn.Module):
    """Instance norm with scale and shift."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x) * self.scale[:, None, None] + self.shift[:, None, None]


class Conditional(nn.Module):
    """Instance norm with scale and shift from a code [N,nlatent,1,1]."""

    def __init__(self, channels: int, nlatent: int) -> None:
        super().__init__()
        self.shift_conv = nn.Sequential(nn.Conv2d(nlatent, channels, 1), nn.ReLU())
        self.scale_conv = nn.Sequential(nn.Conv2d(nlatent, channels, 1), nn.ReLU())

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return F.relu(F.instance_norm(x) * self.scale_conv(z) + self.shift_conv(z))


class Block(nn.Module):
    def __init__(self, channels: int, nlatent: int) -> None:
        super().__init__()
        conv: dict[str, Any] = dict(padding=1, padding_mode="reflect")
        self.conv1 = nn.Conv2d(channels, channels, 3, bias=nlatent == 0, **conv)
        if nlatent:
            self.norm1 = Conditional(channels, nlatent)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, bias=False, **conv), Affine(channels)

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        h = self.conv1(x)
        h = F.relu(h) if z is None else self.norm1(h, z)
        return F.relu(x + self.norm2(self.conv2(h)))


class Generator(nn.Module):
    def __init__(self, cin: int, cout: int, ngf: int, n_blocks: int, nlatent: int) -> None:
        super().__init__()

        def norm(channels: int) -> nn.Module:
            return Conditional(channels, nlatent) if nlatent else AffineRelu(channels)

        self.model = nn.ModuleList([
            nn.Conv2d(cin, ngf, 7, padding=3, padding_mode="reflect", bias=False), norm(ngf),
            nn.Conv2d(ngf, 2 * ngf, 3, padding=1, bias=False), norm(2 * ngf),
            nn.Conv2d(2 * ngf, 4 * ngf, 3, stride=2, padding=1, bias=False), norm(4 * ngf),
            *(Block(4 * ngf, nlatent) for _ in range(n_blocks)),
            nn.ConvTranspose2d(4 * ngf, 2 * ngf, 3, stride=2, padding=1, output_padding=1, bias=False), norm(2 * ngf),
            nn.Conv2d(2 * ngf, ngf, 3, padding=1, bias=False), norm(ngf),
            nn.Conv2d(ngf, cout, 7, padding=3), nn.Tanh(),
        ])  # fmt: skip

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        for layer in self.model:
            takes_code = isinstance(layer, Block | Conditional)
            x = layer(x, z) if takes_code else layer(x)
        return x


class AffineRelu(Affine):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class AffineLeaky(Affine):
    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(x), 0.2)


class BatchRelu(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class BatchLeaky(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(super().forward(x), 0.2)


def judge_a(cin: int, ndf: int, n_down: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(cin, ndf, 3, stride=2, padding=1), nn.LeakyReLU(0.2)]
    wide = [min(2**i, 4) * ndf for i in range(n_down)]
    for narrow, wider in itertools.pairwise(wide):
        layers += [nn.Conv2d(narrow, wider, 3, stride=2, padding=1, bias=False), AffineLeaky(wider)]
    return Stack(*layers, nn.Conv2d(wide[-1], 1, 4))


def judge_b(cin: int, ndf: int) -> nn.Module:
    return Stack(
        nn.Conv2d(cin, ndf, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(ndf, 2 * ndf, 4, stride=2, padding=1, bias=False), AffineLeaky(2 * ndf),
        nn.Conv2d(2 * ndf, 4 * ndf, 4, padding=1, bias=False), AffineLeaky(4 * ndf),
        nn.Conv2d(4 * ndf, 4 * ndf, 4, padding=1, bias=False), AffineLeaky(4 * ndf),
        nn.Conv2d(4 * ndf, 1, 4, padding=1),
    )  # fmt: skip


def judge_z(nlatent: int, ndf: int) -> nn.Module:
    layers: list[nn.Module] = []
    for narrow in (nlatent, ndf, ndf):
        layers += [nn.Conv2d(narrow, ndf, 1, bias=False), BatchLeaky(ndf)]
    return Stack(*layers, nn.Conv2d(ndf, 1, 1))


class Encoder(Stack):
    def __init__(self, cin: int, nef: int, n_down: int, nlatent: int) -> None:
        layers: list[nn.Module] = [nn.Conv2d(cin, nef, 3, stride=2, padding=1), nn.ReLU()]
        channels = nef
        for _ in range(n_down - 1):
            wider = min(2 * channels, 8 * nef)
            layers += [nn.Conv2d(channels, wider, 3, stride=2, padding=1, bias=False), BatchRelu(wider)]
            channels = wider
        layers += [nn.Conv2d(channels, channels, 4, bias=False), BatchRelu(channels)]
        super().__init__(*layers, nn.Conv2d(channels, 2 * nlatent, 1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).mean((2, 3), keepdim=True)


class TorchAugmented:
    """The step of either model; codes come from `rng`, in the order in which our model draws them."""

    def __init__(self, config: Any, rng: np.random.Generator, augmented: bool) -> None:
        c, self.rng, self.augmented = config, rng, augmented
        self.config = c
        self.two_sided, self.stoch = augmented and c.two_sided, augmented and c.stoch_enc
        self.g: dict[str, nn.Module] = {
            "gen_ab": Generator(c.input_nc, c.output_nc, c.ngf, c.n_blocks, c.nlatent),
            "gen_ba": Generator(c.output_nc, c.input_nc, c.ngf, c.n_blocks, c.nlatent if self.two_sided else 0),
        }
        self.d: dict[str, nn.Module] = {
            "disc_a": judge_a(c.input_nc, c.ndf_A, c.n_down),
            "disc_b": judge_b(c.output_nc, c.ndf),
        }
        self.sides = (["b", "a"] if self.two_sided else ["b"]) if augmented else []
        for side in self.sides:
            self.g[f"enc_{side}"] = Encoder(c.input_nc + c.output_nc, c.nef, c.n_down, c.nlatent)
            if not self.stoch:
                self.d[f"disc_z{side}"] = judge_z(c.nlatent, c.ndf)
        self.nets = {name: net.double() for name, net in (self.g | self.d).items()}

    def make_optimizers(self) -> None:
        betas = (self.config.beta1, 0.999)
        self.opts = {
            "g": [torch.optim.Adam(net.parameters(), self.config.lr, betas) for net in self.g.values()],
            "d": [torch.optim.Adam(net.parameters(), self.config.lr / self.config.slower_D, betas) for net in self.d.values()],
        }  # fmt: skip

    def set_lr(self, lr: float) -> None:
        for player, opts in self.opts.items():
            for opt in opts:
                opt.param_groups[0]["lr"] = lr if player == "g" else lr / self.config.slower_D

    def draw(self, n: int) -> Tensor:
        return torch.tensor(self.rng.standard_normal((n, 1, 1, self.config.nlatent))).permute(0, 3, 1, 2)

    def update(self, player: str, loss: Tensor) -> None:
        nets = {"g": self.g, "d": self.d}[player]
        for opt in self.opts[player]:
            opt.zero_grad()
        loss.backward()
        for net in nets.values():
            nn.utils.clip_grad_norm_(net.parameters(), self.config.max_gnorm)
        for opt in self.opts[player]:
            opt.step()

    def code(self, side: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.g[f"enc_{side}"](torch.cat([a, b], 1)).chunk(2, dim=1)
        return mu, logvar

    def post(self, mu: Tensor, logvar: Tensor) -> Tensor:
        if not self.stoch:
            return mu
        return (mu + torch.exp(0.5 * logvar) * self.draw(len(mu))).clamp(-4, 4)

    def divergence(self, mu: Tensor, logvar: Tensor) -> Tensor:
        read, prior = torch.distributions.Normal(mu, torch.exp(0.5 * logvar)), torch.distributions.Normal(0.0, 1.0)
        return torch.distributions.kl_divergence(read, prior).sum(1).mean()

    def step(self, a: Tensor, b: Tensor, *pair: Tensor) -> dict[str, float]:
        c = self.config
        codes = {"b": self.draw(len(a))}
        if self.two_sided:
            codes["a"] = self.draw(len(b))
        fake_b = self.g["gen_ab"](a, codes["b"])
        fake_a = self.g["gen_ba"](b, codes.get("a"))
        read, post = {}, {}
        for side in self.sides:
            read[side] = self.code(side, fake_a, b) if side == "b" else self.code(side, a, fake_b)
        for side in self.sides:
            post[side] = self.post(*read[side])
        mapped = {side: self.code(side, *pair) for side in self.sides if pair}
        known = {side: self.post(*mapped[side]) for side in mapped}

        loss = {}
        pairs = {"D_A": ("disc_b", b, fake_b), "D_B": ("disc_a", a, fake_a)}
        pairs |= {f"D_z_{s.upper()}": (f"disc_z{s}", codes[s], post[s]) for s in self.sides if not self.stoch}
        pairs |= {f"D_sup_z_{s.upper()}": (f"disc_z{s}", codes[s], known[s]) for s in known if not self.stoch}
        for name, (net, real, fake) in pairs.items():
            on_fake, on_real = self.d[net](fake.detach()), self.d[net](real)
            loss[name] = 0.5 * (
                F.mse_loss(on_fake, torch.zeros_like(on_fake)) + F.mse_loss(on_real, torch.ones_like(on_real))
            )
        self.update("d", torch.stack(list(loss.values())).sum())

        def fooled(net: str, x: Tensor) -> Tensor:
            score = self.d[net](x)
            return F.mse_loss(score, torch.ones_like(score))

        judged = set(loss)
        loss["G_A"], loss["G_B"] = fooled("disc_b", fake_b), fooled("disc_a", fake_a)
        loss["cycle_A"] = c.lambda_A * F.l1_loss(self.g["gen_ba"](fake_b, post.get("a")), a)
        back = post["b"] if self.augmented else codes["b"]
        loss["cycle_B"] = c.lambda_B * F.l1_loss(self.g["gen_ab"](fake_a, back), b)
        for side in self.sides:
            name = side.upper()
            if not self.stoch:
                loss[f"G_z_{name}"] = fooled(f"disc_z{side}", post[side])
        for side in self.sides:
            name = side.upper()
            mu, logvar = self.code(side, a, fake_b) if side == "b" else self.code(side, fake_a, b)
            if self.stoch:
                density = torch.distributions.Normal(mu, torch.exp(0.5 * logvar)).log_prob(codes[side])
                loss[f"cycle_z_{name}"] = -c.lambda_z * density.mean()
                loss[f"kl_z_{name}"] = c.lambda_z * self.divergence(*read[side])
            else:
                loss[f"cycle_z_{name}"] = c.lambda_z * F.l1_loss(mu, codes[side])
        if pair:
            of_a, of_b = pair
            loss["sup_A"] = c.lambda_sup_A * (self.g["gen_ba"](of_b, known.get("a")) - of_a).abs().mean()
            loss["sup_B"] = c.lambda_sup_B * (self.g["gen_ab"](of_a, known["b"]) - of_b).abs().mean()
        for side, z in known.items():
            if self.stoch:
                loss[f"kl_sup_z_{side.upper()}"] = c.lambda_z * self.divergence(*mapped[side])
            else:
                loss[f"G_sup_z_{side.upper()}"] = fooled(f"disc_z{side}", z)
        self.update("g", torch.stack([value for name, value in loss.items() if name not in judged]).sum())
        assert all(math.isfinite(value.item()) for value in loss.values())
        return {name: value.item() for name, value in loss.items()}
