"""Torch's side of the comparison: the networks and the step that our tests call the truth, in torch's several guises."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from benchmarks.providers import Work
from benchmarks.worker import Result
from tests import torch_reference as reference
from train.config.settings import Config


class Torch:
    """The same training step in torch, eager, with its usual memory layout (NCHW)."""

    channels_last = False
    compiled = False

    def __init__(self, work: Work) -> None:
        self.work = work
        use_precision(work.precision)
        self.networks: dict[str, Any] = {
            "gen_ab": reference.TorchResnetGenerator(ngf=work.ngf, n_blocks=work.n_blocks),
            "gen_ba": reference.TorchResnetGenerator(ngf=work.ngf, n_blocks=work.n_blocks),
            "disc_a": reference.TorchPatchDiscriminator(ndf=work.ngf),
            "disc_b": reference.TorchPatchDiscriminator(ndf=work.ngf),
        }
        for network in self.networks.values():
            place(network, self)
            if work.precision == "bf16":
                in_bfloat16(network)
            if self.compiled:
                network.compile()
        c = Config()
        self.model = reference.TorchCycleGAN(
            **self.networks, lr=c.lr, beta1=c.beta1, lambda_A=c.lambda_A, lambda_B=c.lambda_B,
            lambda_identity=c.lambda_identity, gan_mode=c.gan_mode, lambda_GAN=c.lambda_GAN, lambda_gp=c.lambda_gp,
            mixing=None,
            pool_a=reference.TorchPool(c.pool_size, np.random.default_rng([work.seed, 4])),
            pool_b=reference.TorchPool(c.pool_size, np.random.default_rng([work.seed, 5])),
        )  # fmt: skip
        if torch_device(work) == "cuda":
            fuse_adam(self.model)

    def load(self) -> None:
        for name, network in self.networks.items():
            load_torch(self.work, name, network)

    def inputs(self, key: int) -> Any:
        return [to_torch(self, x) for x in self.work.pictures(key)]

    def run(self, inputs: Any) -> Result:
        return self.model.step(*inputs)

    def result(self, output: Result) -> Result:
        moved = {}
        for name, network in self.networks.items():
            weights = ((key, p.detach().cpu().numpy()) for key, p in network.state_dict().items())
            moved[f"update of {name}"] = self.work.update(name, weights)
        return {**output, **moved}

    def device_mb(self) -> float:
        return torch_device_mb(self)


class TorchJudge(Torch):
    """Torch's step in full float32, whatever the others compute in: what steps are judged by."""

    def __init__(self, work: Work) -> None:
        super().__init__(dataclasses.replace(work, precision="fp32"))


class TorchChannelsLast(Torch):
    """Eager torch with channels innermost in memory."""

    channels_last = True

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        if torch_device(work) == "cpu":
            for network in self.networks.values():
                for module in network.modules():
                    if isinstance(module, torch.nn.InstanceNorm2d):
                        module.register_forward_hook(plain_gradient)


def plain_gradient(module: Any, inputs: Any, output: Any) -> None:
    """Give the norm's backward an NCHW gradient: for a channels-last one it is wrong on the CPU (torch 2.13)."""
    if output.requires_grad:
        output.register_hook(torch.Tensor.contiguous)


class TorchCompile(Torch):
    """Each network through torch.compile; needs a C++ compiler."""

    compiled = True


class TorchCompileChannelsLast(TorchCompile):
    """And with channels innermost in memory, as tensor cores want them."""

    channels_last = True


class TorchTranslates:
    """Torch's generator forward, eager, NCHW."""

    channels_last = False
    compiled = False
    dtype = "float32"

    def __init__(self, work: Work) -> None:
        self.work = work
        use_precision(work.precision)
        self.generator = reference.TorchResnetGenerator(ngf=work.ngf, n_blocks=work.n_blocks).eval()
        self.generator.to(getattr(torch, self.dtype))
        place(self.generator, self)
        if work.precision == "bf16" and self.dtype == "float32":
            in_bfloat16(self.generator)
        if self.compiled:
            self.generator.compile()

    def load(self) -> None:
        load_torch(self.work, "gen_ab", self.generator)

    def inputs(self, key: int) -> Any:
        return to_torch(self, self.work.pictures(key)[0].astype(self.dtype))

    def run(self, inputs: Any) -> Any:
        with torch.inference_mode():
            y = self.generator(inputs)
        if self.work.device == "cuda":
            torch.cuda.synchronize()
        return y

    def result(self, output: Any) -> Result:
        return {"y": np.ascontiguousarray(output.cpu().numpy().transpose(0, 2, 3, 1))}

    def device_mb(self) -> float:
        return torch_device_mb(self)


class TorchChannelsLastTranslates(TorchTranslates):
    """Torch's generator with channels innermost in memory."""

    channels_last = True


class TorchCompileTranslates(TorchTranslates):
    """Torch's generator through torch.compile; needs a C++ compiler."""

    compiled = True


class TorchCompileChannelsLastTranslates(TorchCompileTranslates):
    """And with channels innermost in memory."""

    channels_last = True


class TorchTruth(TorchTranslates):
    """Torch's generator in double precision: what translations are judged by."""

    dtype = "float64"


def fuse_adam(model: Any, **settings: Any) -> None:
    """Let each player's Adam be one kernel, as torch offers on a GPU."""
    c = Config()
    for name in ("opt_g", "opt_d"):
        parameters = [p for group in getattr(model, name).param_groups for p in group["params"]]
        setattr(model, name, torch.optim.Adam(parameters, c.lr, (c.beta1, 0.999), eps=1e-8, fused=True, **settings))


def memory_format(contestant: Any) -> Any:
    """How the contestant's [N,C,H,W] lie in memory."""
    return torch.channels_last if contestant.channels_last else torch.contiguous_format


def place(network: Any, contestant: Any) -> None:
    """Put a network where and how its contestant computes."""
    network.to(torch_device(contestant.work), memory_format=memory_format(contestant))


def torch_device(work: Any) -> str:
    """Where torch computes: beside our interpreted kernels, on the CPU."""
    return "cuda" if work.device == "cuda" else "cpu"


def in_bfloat16(network: Any) -> None:
    """Run a network's forward, and so its backward, under autocast; what it puts out is float32, for the losses."""
    forward = network.forward

    def autocast_forward(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            return forward(x).float()

    network.forward = autocast_forward


def load_torch(work: Work, name: str, network: Any) -> None:
    """The shared weights, into one of torch's networks."""
    shapes = {key: tuple(p.shape) for key, p in network.state_dict().items()}
    network.load_state_dict({key: torch.from_numpy(w) for key, w in work.weights(name, shapes).items()})


def to_torch(contestant: Any, x: np.ndarray) -> Any:
    """[N,H,W,C] as torch's [N,C,H,W], in the contestant's memory layout and on its device."""
    t = torch.from_numpy(x).permute(0, 3, 1, 2)
    return t.contiguous(memory_format=memory_format(contestant)).to(torch_device(contestant.work))


def torch_device_mb(contestant: Any) -> float:
    """The most memory that torch took from the GPU, that of its graphs among it, MB."""
    return torch.cuda.max_memory_reserved() / 1e6 if contestant.work.device == "cuda" else 0.0


def use_precision(precision: str) -> None:
    """Say how torch multiplies float32 on a GPU; its own defaults differ between convolutions and products."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.benchmark = True
