"""What each op is, said in torch: independent expressions on our layouts, `[N,H,W,C]` maps and `[R,S,C,K]` weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def first(x: Tensor) -> Tensor:
    """[N,H,W,C] -> [N,C,H,W]"""
    return x.permute(0, 3, 1, 2)


def last(x: Tensor) -> Tensor:
    """[N,C,H,W] -> [N,H,W,C]"""
    return x.permute(0, 2, 3, 1)


def stacked(op: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A convolution that also takes a stack of weights [G,...] and biases [G,K]: each meets its share of the pictures."""

    def each(x: Tensor, w: Tensor, third: Tensor | None = None, *rest: Any, **settings: Any) -> Tensor:
        if w.ndim == 4:
            return op(x, w, third, *rest, **settings)
        thirds = [None] * len(w) if third is None else third if third.ndim == 2 else third.chunk(len(w))
        return torch.cat([op(*group, *rest, **settings) for group in zip(x.chunk(len(w)), w, thirds, strict=True)])

    return each


@stacked
def conv2d(
    x: Tensor, w: Tensor, b: Tensor | None, stride: int = 1, padding: int = 0, padding_mode: str = "zeros"
) -> Tensor:
    mode = {"zeros": "constant", "reflect": "reflect"}[padding_mode]
    padded = F.pad(first(x), (padding,) * 4, mode=mode) if padding else first(x)
    return last(F.conv2d(padded, w.permute(3, 2, 0, 1).contiguous(), b, stride))


@stacked
def conv_transpose2d(
    x: Tensor, w: Tensor, b: Tensor | None, stride: int = 2, padding: int = 1, output_padding: int = 1
) -> Tensor:
    return last(F.conv_transpose2d(first(x), w.permute(2, 3, 0, 1).contiguous(), b, stride, padding, output_padding))


def activated(y: Tensor, activation: str, slope: float) -> Tensor:
    return {"none": lambda y: y, "relu": F.relu, "leaky_relu": lambda y: F.leaky_relu(y, slope)}[activation](y)


def instance_norm(
    x: Tensor, skip: Tensor | None, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> Tensor:
    # F.instance_norm refuses a plane of one pixel, which the formula allows.
    variance, mean = torch.var_mean(x, dim=(1, 2), correction=0, keepdim=True)
    y = (x - mean) / (variance + eps).sqrt()
    y = activated(y, activation, slope)
    return y if skip is None else y + skip


def conditional_instance_norm(
    x: Tensor, scale: Tensor, shift: Tensor, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> Tensor:
    each = [s.expand(x.shape[0], x.shape[3])[:, None, None, :] for s in (scale, shift)]
    y = instance_norm(x, None, eps=eps) * each[0] + each[1]
    return activated(y, activation, slope)


@stacked
def conv_norm_relu(
    x: Tensor, w: Tensor, skip: Tensor | None, stride: int = 1, padding: int = 0, padding_mode: str = "zeros",
    activation: str = "relu", **norm: Any,
) -> Tensor:  # fmt: skip
    z = conv2d(x, w, None, stride, padding, padding_mode)
    return instance_norm(z, skip, activation, **norm)


@stacked
def conv_transpose_norm_relu(
    x: Tensor, w: Tensor, skip: Tensor | None, stride: int = 2, padding: int = 1, output_padding: int = 1,
    activation: str = "relu", **norm: Any,
) -> Tensor:  # fmt: skip
    z = conv_transpose2d(x, w, None, stride, padding, output_padding)
    return instance_norm(z, skip, activation, **norm)


def resize(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    align = None if mode == "nearest" else False  # torch refuses the argument for nearest
    return last(F.interpolate(first(x), size, mode=mode, align_corners=align))


def dropout(x: Tensor, p: float, key: int) -> Tensor:
    def mixed(h: int) -> int:
        h = ((h ^ (h >> 16)) * 0x85EBCA6B) % 2**32
        h = ((h ^ (h >> 13)) * 0xC2B2AE35) % 2**32
        return h ^ (h >> 16)

    coins = torch.tensor(
        [mixed(mixed(i) ^ key) / 2**32 for i in range(x.numel())], dtype=torch.float64, device=x.device
    )
    return x * (coins >= p).reshape(x.shape) / (1 - p)


TORCH: dict[str, Callable[..., Tensor]] = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "instance_norm": instance_norm,
    "conditional_instance_norm": conditional_instance_norm,
    "conv_norm_relu": conv_norm_relu,
    "conv_transpose_norm_relu": conv_transpose_norm_relu,
    "resize": resize,
    "reflection_pad": lambda x, pad: last(F.pad(first(x), (pad,) * 4, mode="reflect")) if pad else x * 1,
    "tanh": torch.tanh,
    "dropout": dropout,
    "leaky_relu": lambda x, slope: F.leaky_relu(x, slope),
    "concat": lambda *xs, axis=-1: torch.cat(xs, dim=axis),
    "lsgan_loss": lambda x, target, weight=1.0: weight * F.mse_loss(x, torch.full_like(x, target)),
    "l1_loss": lambda x, y, weight=1.0: weight * F.l1_loss(x, y),
    "bce_with_logits": lambda x, target, weight=1.0: (
        weight * F.binary_cross_entropy_with_logits(x, torch.full_like(x, target))
    ),
    "hinge_loss": lambda x, target, weight=1.0: weight * F.relu(1 - target * x).mean(),
    "mean": lambda x, weight: weight * x.mean(),
    "add": lambda *xs: torch.stack(xs).sum(dim=0),
    "batch_slice": lambda x, start, stop: x[start:stop],
}
