"""Network: a module that stands on its own, with a device, initial weights and a summary."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import Tensor, no_grad
from autograd.checks import check
from kernels.device import Device, get_device
from nn.init import initialise
from nn.module import Module, observed


class Network(Module):
    """Base of the generators and discriminators. Sub-classes build their layers and then call `finish`."""

    in_channels: int
    device: Device

    def finish(self, device: str | Device, seed: int, init_type: str, init_gain: float) -> None:
        """Draw the weights and move them to `device` (a name or a Device)."""
        self.device = get_device(device) if isinstance(device, str) else device
        initialise(self, seed, init_type, init_gain)
        self.to(self.device)

    def __call__(self, x: Any, *others: Any) -> Tensor:
        name, weight = type(self).__name__, next(p for _, p in self.named_parameters())
        device = check(name, f"x [N,H,W,{self.in_channels}], z [N,1,1,D]?", (x, *others))
        if device != weight.device:
            raise ValueError(
                f"{name}: x lives on {device}, the network on {weight.device}; write Tensor(x, device={str(weight.device)!r})"
            )
        if x.dtype != weight.dtype and x.dtype.name != "bfloat16":
            raise TypeError(
                f"{name}: x is {x.dtype}, the network's weights are {weight.dtype}; write "
                f"Tensor(x.astype({str(weight.dtype)!r})), or convert the network with .astype({str(x.dtype)!r})"
            )
        return super().__call__(x, *others)

    def example(self, height: int, width: int) -> tuple[str, list[tuple[int, ...]]]:
        """What it takes, with one HxW picture: in words, and the shape of each input."""
        return f"a {height}x{width} picture", [(1, height, width, self.in_channels)]

    def summary(self, height: int = 256, width: int = 256) -> str:
        """A table of layers with output shape, parameters and multiply-accumulates for one HxW picture."""
        names = {id(module): name for name, module in self.named_modules()}
        rows: list[tuple[str, str, str, int, int]] = []

        def note(module: Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            if any(True for _ in module.children()):
                return
            count = sum(p.size for _, p in module.named_parameters())
            macs = module.macs(inputs[0], output) if hasattr(module, "macs") else 0
            shape = "x".join(map(str, output.shape[1:]))
            rows.append((names[id(module)], type(module).__name__, shape, count, macs))

        dtype = next(p.dtype for _, p in self.named_parameters())
        words, shapes = self.example(height, width)
        with no_grad(), observed(note):
            self(*(Tensor(np.zeros(shape, dtype), device=self.device) for shape in shapes))
        wide = max(len(r[0]) for r in rows)
        line = f"{{:{wide}}}  {{:22}} {{:>13}} {{:>12}} {{:>9}}"
        table = [f"{type(self).__name__} on {words}", ""]
        table.append(line.format("layer", "kind", "output HxWxC", "parameters", "MMAC"))
        table += [line.format(n, kind, shape, f"{p:,}", f"{m / 1e6:,.1f}") for n, kind, shape, p, m in rows]
        table.append(
            line.format("total", "", "", f"{sum(r[3] for r in rows):,}", f"{sum(r[4] for r in rows) / 1e6:,.1f}")
        )
        return "\n".join(table)
