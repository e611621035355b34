"""How weights start. Each draw depends on the network's seed alone, so the same seed gives the same weights anywhere."""

from __future__ import annotations

import math

import numpy as np

from nn.module import Module

METHODS = ("normal", "xavier", "kaiming", "orthogonal")


def initialise(network: Module, seed: int, method: str = "normal", gain: float = 0.02) -> None:
    """Draw every weight of `network` and zero every bias and shift.

    normal      N(0, gain), the paper's choice
    xavier      normal with standard deviation gain * sqrt(2 / (fan_in + fan_out))
    kaiming     normal with standard deviation sqrt(2 / fan_in)
    orthogonal  orthonormal rows times gain

    A norm's vectors start around the values that its layer made them with: N(value, gain); those that are not trained
    start at these values. Fans and orthogonality refer to PyTorch's layout, as there. ValueError for any other method.
    """
    rng = np.random.default_rng(seed)
    for name, parameter in network.named_parameters():
        shape = tuple(parameter.shape[i] for i in parameter.torch_axes)
        if name.endswith(("bias", "shift")):
            values = np.zeros(shape)
        elif len(shape) == 1:
            values = parameter.to_torch() + gain * rng.standard_normal(shape) * parameter.trained
        else:
            values = _draw(rng, shape, method, gain)
        parameter.from_torch(values)


def _draw(rng: np.random.Generator, shape: tuple[int, ...], method: str, gain: float) -> np.ndarray:
    receptive = math.prod(shape[2:])
    fan_out, fan_in = shape[0] * receptive, shape[1] * receptive
    draw = rng.standard_normal(shape)
    if method == "normal":
        return gain * draw
    if method == "xavier":
        return gain * math.sqrt(2 / (fan_in + fan_out)) * draw
    if method == "kaiming":
        return math.sqrt(2 / fan_in) * draw
    if method == "orthogonal":
        rows = draw.reshape(shape[0], -1)
        q, r = np.linalg.qr(rows.T if rows.shape[0] < rows.shape[1] else rows)
        q = q * np.sign(np.diag(r))  # makes the draw uniform over orthogonal matrices
        return gain * (q.T if rows.shape[0] < rows.shape[1] else q).reshape(shape)
    raise ValueError(f"unknown initialisation {method!r}; wanted one of {', '.join(METHODS)}")
