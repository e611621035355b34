"""The one harness for ops: forward and every gradient against torch in float64, and the promises around them.

right shape, dtype and values; NaN is never right         the same bits when run again
inputs and upstream gradient untouched                    each gradient the same, wanted alone or with the others
memory that is allocated is full of NaN beforehand        views with gaps give what plain arrays give
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch

from autograd import Tensor, ops
from kernels.device import Array, Device, to_host
from tests.cases import Case, arrays
from tests.tolerances import tolerance
from tests.torch_ops import TORCH

Results = dict[str, np.ndarray]


def check_op(case: Case, device: Device, dtype: str, op: Callable[..., Tensor] | None = None) -> None:
    """AssertionError unless `op` (by default the one the case names) does on `device` what torch does in float64."""
    op = op or getattr(ops, case.op)
    inputs = {name: array for name, array in arrays(case, dtype).items() if array is not None}
    expected, upstream = truth(case, dtype)
    rtol, atol = tolerance(case.op, dtype, case.values)

    # Once before memory is poisoned: what numba compiles on first use must see the real np.empty.
    usual = run(op, case, device, inputs, upstream, wanted=list(inputs), memory=contextlib.nullcontext())
    results = run(op, case, device, inputs, upstream, wanted=list(inputs), memory=poisoned_memory(device))
    assert results.keys() == expected.keys(), f"{case}: results {[*results]}, wanted {[*expected]}"
    for name, array in results.items():
        assert array.dtype == np.dtype(dtype), f"{case}: {name} is {array.dtype}, wanted {dtype}"
        compare(f"{case}: {name}", array, expected[name], rtol, atol)

    same_bits(f"{case}, run again", usual, results)
    if len(inputs) > 1:
        for name in inputs:
            alone = run(op, case, device, inputs, upstream, wanted=[name], memory=poisoned_memory(device))
            same_bits(f"{case}, {name} alone", alone, results)


def truth(case: Case, dtype: str) -> tuple[Results, np.ndarray]:
    """Result and gradients by torch in float64 for the inputs as rounded to `dtype`; and the upstream gradient."""
    leaves = {
        name: None if array is None else torch.tensor(array.astype("float64"), requires_grad=True)
        for name, array in arrays(case, dtype).items()
    }
    y = TORCH[case.op](*leaves.values(), **case.settings)
    rng = np.random.default_rng(zlib.crc32(str(case).encode()) + 1)
    upstream = np.asarray(rng.standard_normal(tuple(y.shape)) + 0.2, dtype)
    y.backward(torch.tensor(upstream.astype("float64")))
    expected = {"y": y.detach().numpy()}
    for name, leaf in leaves.items():
        if leaf is not None and leaf.grad is not None:
            expected[f"d{name}"] = leaf.grad.numpy()
    return expected, upstream


def run(
    op: Callable[..., Tensor],
    case: Case,
    device: Device,
    inputs: Results,
    upstream: np.ndarray,
    wanted: list[str],
    memory: contextlib.AbstractContextManager[None],
) -> Results:
    """One forward and backward: the output `y` and the gradient `d<name>` of each wanted input, on the host."""
    names = [name for name, shape in case.shapes.items() if shape is not None]
    views, buffers = zip(*(place(array, device, case.strided) for array in [*inputs.values(), upstream]), strict=True)
    before = [to_host(buffer).tobytes() for buffer in buffers]
    tensors = {n: Tensor(v, requires_grad=n in wanted, device=device) for n, v in zip(inputs, views, strict=False)}
    with memory:
        y = op(*(tensors.get(name) for name in case.shapes), **case.settings)
        results = {"y": y.numpy()}
        assert y.shape == upstream.shape, f"{case}: y has shape {y.shape}, wanted {upstream.shape}"
        y.backward(views[-1])
    for name, buffer, old in zip([*names, "upstream gradient"], buffers, before, strict=True):
        assert to_host(buffer).tobytes() == old, f"{case}: {name} was written to"
    for name, tensor in tensors.items():
        assert (tensor.grad is not None) == (name in wanted), f"{case}: d{name} is there though not wanted, or missing"
        if tensor.grad is not None:
            results[f"d{name}"] = np.array(to_host(tensor.grad))
    return results


def place(array: np.ndarray, device: Device, strided: bool) -> tuple[Array, Array]:
    """`array` on the device, and the memory it lies in. Strided: in reversed axis order, with NaN in the gaps."""
    if not strided or array.ndim == 0:
        placed = device.xp.array(array)
        return placed, placed
    buffer = np.full([2 * n for n in reversed(array.shape)], np.nan, array.dtype)
    evens = (slice(None, None, 2),) * array.ndim
    buffer.T[evens] = array
    buffer = device.xp.array(buffer)
    return buffer.T[evens], buffer


@contextlib.contextmanager
def poisoned_memory(device: Device) -> Iterator[None]:
    """Uninitialised memory is full of NaN, so that an element nobody writes is seen. Not inside compiled loops."""

    def poisoned(allocate: Callable[..., Array]) -> Callable[..., Array]:
        def allocate_and_fill(*args: Any, **settings: Any) -> Array:
            array = allocate(*args, **settings)
            if array.dtype.kind == "f":
                array.fill(np.nan)
            return array

        return allocate_and_fill

    xp = device.xp
    with mock.patch.multiple(xp, empty=poisoned(xp.empty), empty_like=poisoned(xp.empty_like)):
        yield


def compare(what: str, result: np.ndarray, expected: np.ndarray, rtol: float, atol: float) -> None:
    """AssertionError unless shapes agree and every element is within the bound of tests/tolerances.py."""
    assert result.shape == expected.shape, f"{what} has shape {result.shape}, wanted {expected.shape}"
    if not expected.size:
        return
    error = np.abs(result.astype("float64") - expected)
    bound = rtol * np.abs(expected) + atol * max(1.0, float(np.abs(expected).max()))
    bad = ~(error <= bound)  # written so that NaN is bad
    if bad.any():
        worst = np.unravel_index(np.argmax(np.where(bad, np.nan_to_num(error - bound, nan=np.inf), -np.inf)), bad.shape)
        raise AssertionError(
            f"{what} is wrong in {bad.sum()} of {bad.size} elements; worst at {tuple(map(int, worst))}: "
            f"{result[worst]:.9g}, wanted {expected[worst]:.9g} within {bound[worst]:.2g}"
        )


def same_bits(what: str, results: Results, others: Results) -> None:
    """AssertionError unless every one of `results` equals its namesake bit for bit."""
    for name, array in results.items():
        assert array.tobytes() == others[name].tobytes(), f"{what}: {name} has other bits than before"
