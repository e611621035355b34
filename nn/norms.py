"""Normalisation layers with a scale and a shift: fixed for the network, taken from a code, or shared over the batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import Tensor
from autograd import ops as F
from autograd.mode import grad_enabled
from kernels.device import Array, xp_of
from nn.layers import Conv2d
from nn.module import Module, Parameter, Sequential


class AffineInstanceNorm(Module):
    """act(scale * x_hat + shift) with one scale and shift [C] for all pictures.

    The scale starts near 0 (N(0, init_gain)), as in the code of Augmented CycleGAN: a residual block starts near identity.
    """

    def __init__(self, channels: int, activation: str = "none") -> None:
        self.activation = activation
        self.scale = Parameter(np.zeros(channels, np.float32))
        self.shift = Parameter(np.zeros(channels, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.conditional_instance_norm(x, self.scale, self.shift, activation=self.activation)


class ConditionalInstanceNorm(Module):
    """relu(scale(z) * x_hat + shift(z)): scale and shift are each relu(1x1 convolution) of the code z [N,1,1,nlatent].

    x_hat divides by the biased variance, as every norm here. The authors' code divides by the unbiased one in this norm alone:
    sqrt((n-1)/n) times as much for n pixels, which the scale takes up (docs/weights.md has the measured difference).
    """

    def __init__(self, channels: int, nlatent: int) -> None:
        self.shift_conv = Sequential({0: Conv2d(nlatent, channels, 1)})
        self.scale_conv = Sequential({0: Conv2d(nlatent, channels, 1)})

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        scale, shift = (F.relu(conv(z)).reshape(len(z), -1) for conv in (self.scale_conv, self.shift_conv))  # [N,C]
        return F.conditional_instance_norm(x, scale, shift, activation="relu")


class BatchNorm(Module):
    """act(weight * x_hat + bias) with statistics over the whole batch [N,H,W,C]: instance norm of one tall picture.

    Where gradients are recorded (in training) the batch's own statistics serve, and are noted in running_mean and
    running_var; under no_grad, and for a batch with a single value per channel, the noted ones serve.

    Where `notes` is a list, means and variances are left there, for who plays a batch in parts, and are noted by `move`.
    """

    notes: list[tuple[Array, Array]] | None = None

    def __init__(self, channels: int, activation: str = "none", eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.settings: dict[str, Any] = dict(activation=activation, eps=eps)
        self.momentum = momentum
        self.weight = Parameter(np.ones(channels, np.float32))
        self.bias = Parameter(np.zeros(channels, np.float32))
        self.running_mean = Parameter(np.zeros(channels, np.float32), trained=False)
        self.running_var = Parameter(np.ones(channels, np.float32), trained=False)

    def forward(self, x: Tensor) -> Tensor:
        N, H, W, C = x.shape
        if grad_enabled() and N * H * W > 1:
            self.note(x.data)
            tall = x.reshape(1, N * H, W, C)
            return F.conditional_instance_norm(tall, self.weight, self.bias, **self.settings).reshape(N, H, W, C)
        rstd = 1 / xp_of(x.data).sqrt(self.running_var.data + self.settings["eps"])
        x_hat = (x - self.running_mean.detach()) * Tensor(rstd, device=x.device)
        y = x_hat * self.weight + self.bias
        return {"relu": F.relu, "leaky_relu": F.leaky_relu, "none": lambda y: y}[self.settings["activation"]](y)

    def note(self, x: Array) -> None:
        """Move the running statistics towards those of x; the variance is the unbiased one."""
        pixels = x.shape[0] * x.shape[1] * x.shape[2]
        mean = x.mean(axis=(0, 1, 2))
        variance = ((x - mean) ** 2).sum(axis=(0, 1, 2)) / (pixels - 1)
        if self.notes is not None:
            return self.notes.append((mean, variance))
        self.move(mean, variance)

    def move(self, mean: Array, variance: Array) -> None:
        """Move the running statistics towards these [C]."""
        for running, now in ((self.running_mean, mean), (self.running_var, variance)):
            running.data += self.momentum * (now - running.data)
            running.changed()
