"""Where did the NaN come from? Named after the fact, so that a healthy run pays nothing for the question."""

from __future__ import annotations

from typing import Any

from autograd import Tensor, no_grad
from kernels.device import Array, xp_of
from nn.module import Module, observed
from train.models.model import Model


def nonfinite_origin(model: Model, real_a: Array, real_b: Array) -> str:
    """Names the first thing that is not finite: an image, a weight or the output of a layer."""
    for name, images in (("A", real_a), ("B", real_b)):
        if not finite(images):
            return f"the images of domain {name} themselves"
    names: dict[int, str] = {}
    for network_name, network in model.networks().items():
        for key, parameter in network.named_parameters():
            if not finite(parameter.data):
                return f"the weight {network_name}.{key}"
        names |= {id(module): f"{network_name}.{name}" for name, module in network.named_modules()}
    found: list[str] = []

    def look(module: Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if not found and not finite(output.data):
            found.append(f"the output of {type(module).__name__} {names[id(module)].rstrip('.')}")

    with observed(look), no_grad():
        model.run_networks(real_a, real_b)
    return found[0] if found else "a loss itself: every layer's output is finite"


def finite(array: Array) -> bool:
    """Whether every number in the array is finite."""
    return bool(xp_of(array).isfinite(array).all())
