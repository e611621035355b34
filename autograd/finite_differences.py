"""Gradients by finite differences: the check that needs no other library."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autograd.tensor import Tensor


def gradcheck(
    function: Callable[..., Tensor],
    inputs: list[Tensor],
    *,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    seed: int = 0,
) -> bool:
    """Compare `backward` with central differences, for a random upstream gradient.

    function  maps Tensors to one Tensor
    inputs    float64 leaves; those with requires_grad are checked

    Returns True; raises AssertionError naming the input and element that differ most, TypeError for float32 inputs.
    """
    for i, tensor in enumerate(inputs):
        if tensor.requires_grad and tensor.dtype != np.float64:
            raise TypeError(f"gradcheck: input {i} is {tensor.dtype}; differences need float64")
        tensor.grad = None
    y = function(*inputs)
    upstream = np.random.default_rng(seed).standard_normal(y.shape)
    y.backward(upstream)
    for i, tensor in enumerate(inputs):
        if not tensor.requires_grad:
            continue
        numeric = np.empty(tensor.shape)
        for index in np.ndindex(tensor.shape):
            numeric[index] = _slope(function, inputs, tensor, index, upstream, eps)
        analytic = np.zeros(tensor.shape) if tensor.grad is None else tensor.grad
        excess = np.abs(analytic - numeric) - (atol + rtol * np.abs(numeric))
        worst = np.unravel_index(np.argmax(np.nan_to_num(excess, nan=np.inf)), tensor.shape)
        if not np.all(excess <= 0):
            raise AssertionError(
                f"gradcheck: input {i}, element {tuple(map(int, worst))}: backward says {analytic[worst]:.9g}, "
                f"differences say {numeric[worst]:.9g}"
            )
    return True


def _slope(function: Callable[..., Tensor], inputs: list[Tensor], tensor: Tensor, index: tuple[int, ...], upstream: np.ndarray, eps: float) -> float:  # fmt: skip
    value = tensor.data[index]
    sums = []
    for shifted in (value + eps, value - eps):
        tensor.data[index] = shifted
        sums.append(float((function(*inputs).data * upstream).sum()))
    tensor.data[index] = value
    return (sums[0] - sums[1]) / (2 * eps)
