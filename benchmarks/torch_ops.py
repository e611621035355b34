"""Single ops in torch, with our layouts outside and torch's favourite layout in memory inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.op_providers import Key, OpWork, case
from benchmarks.torch_providers import torch_device, use_precision
from benchmarks.worker import Result
from tests.torch_ops import TORCH, first, last


def instance_norm(
    x: Tensor, skip: Tensor | None, activation: str = "none", slope: float = 0.2, eps: float = 1e-5
) -> Tensor:
    """The library's own norm, which is faster than the tests' formula."""
    y = F.instance_norm(first(x), eps=eps)
    if y.requires_grad and y.device.type == "cpu":
        y.register_hook(Tensor.contiguous)  # see torch_providers.plain_gradient
    y = {"none": lambda y: y, "relu": F.relu, "leaky_relu": lambda y: F.leaky_relu(y, slope)}[activation](y)
    return last(y) if skip is None else last(y) + skip


def conv_norm_relu(
    x: Tensor, w: Tensor, skip: Tensor | None, stride: int = 1, padding: int = 0, padding_mode: str = "zeros",
    activation: str = "relu", **norm: Any,
) -> Tensor:  # fmt: skip
    """The library's convolution, then its norm."""
    return instance_norm(TORCH["conv2d"](x, w, None, stride, padding, padding_mode), skip, activation, **norm)


def conv_transpose_norm_relu(
    x: Tensor, w: Tensor, skip: Tensor | None, stride: int = 2, padding: int = 1, output_padding: int = 1,
    activation: str = "relu", **norm: Any,
) -> Tensor:  # fmt: skip
    """The same, of the transposed convolution."""
    return instance_norm(
        TORCH["conv_transpose2d"](x, w, None, stride, padding, output_padding), skip, activation, **norm
    )


FAST: dict[str, Callable[..., Tensor]] = {
    **TORCH,
    "instance_norm": instance_norm,
    "conv_norm_relu": conv_norm_relu,
    "conv_transpose_norm_relu": conv_transpose_norm_relu,
}


class TorchOps:
    """Eager torch; memory is NCHW and [K,C,R,S], seen through transposed views, so that no copy is timed."""

    memory_format = torch.contiguous_format
    dtype: torch.dtype | None = None  # of everything; None: what is to be measured
    functions: dict[str, Callable[..., Tensor]] = FAST

    def __init__(self, work: OpWork) -> None:
        self.work = work
        self.dtype = self.dtype or (torch.bfloat16 if work.precision == "bf16" else torch.float32)
        self.made: dict[str, tuple[int, dict[str, Any]]] = {}
        use_precision(work.precision)
        self.clock = "torch" if work.device == "cuda" else "wall"

    def load(self) -> None:
        """Ops have no weights of their own."""

    def leaf(self, name: str, op: str, array: np.ndarray | None) -> Tensor | None:
        """One input, laid out in memory as torch would hold it."""
        if array is None:
            return None
        t = torch.from_numpy(array.astype(np.float32)).to(torch_device(self.work), self.dtype)
        if t.ndim == 4:
            axes = (0, 3, 1, 2) if name != "w" else (2, 3, 0, 1) if op.startswith("conv_transpose") else (3, 2, 0, 1)
            back = [axes.index(i) for i in range(4)]
            t = t.permute(axes).contiguous(memory_format=self.memory_format).permute(back)
        return t.requires_grad_()

    def leaves(self, name: str, seed: int) -> dict[str, Any]:
        """The inputs of a case; for another seed, the same tensors with other numbers in them."""
        if name in self.made and self.made[name][0] == seed:
            return self.made[name][1]
        fresh = {n: self.leaf(n, case(name).op, array) for n, array in self.work.arrays(name, seed).items()}
        if name in self.made:
            with torch.no_grad():
                for old, new in zip(self.made[name][1].values(), fresh.values(), strict=True):
                    if old is not None:
                        old.copy_(new)
            fresh = self.made[name][1]
        self.made = {name: (seed, fresh)}
        return fresh

    def inputs(self, key: Key) -> Callable[[], Any]:
        """The work of that key; it returns y or None, and gradients by name."""
        name, direction, seed = key
        leaves = self.leaves(name, seed)
        wanted = {n: leaf for n, leaf in leaves.items() if leaf is not None}

        def forward() -> Tensor:
            return self.functions[case(name).op](*leaves.values(), **case(name).settings)

        if direction == "forward":
            return lambda: (forward(), {})
        y = forward()
        dy = self.leaf("y", "", self.work.upstream(name, tuple(y.shape), seed))

        def backward(y: Tensor) -> dict[str, Tensor]:
            return dict(zip(wanted, torch.autograd.grad(y, [*wanted.values()], dy), strict=True))

        def both() -> Any:
            y = forward()
            return y, backward(y)

        return both if direction == "both" else lambda: (None, backward(y))

    def run(self, inputs: Callable[[], Any]) -> Any:
        return inputs()

    def result(self, output: Any) -> Result:
        y, grads = output
        named = {**({} if y is None else {"y": y}), **{f"d{n}": g for n, g in grads.items()}}
        shown = {name: t.float() if t.dtype == torch.bfloat16 else t for name, t in named.items()}
        return {name: np.array(t.detach().cpu().numpy(), order="C") for name, t in shown.items()}


class TorchChannelsLastOps(TorchOps):
    """Eager torch with channels innermost in memory."""

    memory_format = torch.channels_last


class TruthOps(TorchOps):
    """The tests' formulas in double precision, on the CPU, of inputs as they are stored: what every op is judged by."""

    dtype = torch.float64
    functions = TORCH

    def __init__(self, work: OpWork) -> None:
        super().__init__(dataclasses.replace(work, device="cpu"))
