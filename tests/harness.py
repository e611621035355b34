"""The one harness for ops: forward and every gradient against torch in float64, and the promises around them.

right shape, dtype and values; NaN is never right         the same bits when run again, on a GPU's programs in any order
inputs and upstream gradient untouched                    each gradient the same, wanted alone or with the others
memory that is allocated is full of NaN beforehand        views with gaps give what plain arrays give
nothing is read or written beside the arrays (in Triton's interpreter)

It serves every device and precision: `PRECISIONS` of tests/rounding.py, which also says how far an element may be off.
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
from kernels.gpu.launch import hooks
from tests.cases import Case, arrays
from tests.rounding import READ, Leaves, bounds, dtype_of
from tests.sanitiser import sanitised, shuffled
from tests.torch_ops import TORCH

Results = dict[str, np.ndarray]
Place = Callable[[np.ndarray], Array]
Memory = Callable[[], contextlib.AbstractContextManager[Place]]
"""Where arrays lie during one run, inputs and what is allocated: gives the function that places an input."""


def check_op(
    case: Case, device: Device, precision: str, op: Callable[..., Tensor] | None = None, longer: float = 1
) -> None:
    """AssertionError unless `op` (by default the one the case names) does on `device` what torch does in float64.

    `longer`: how many times the tolerance, where sums are longer than those of the small cases.
    """
    op = op or getattr(ops, case.op)
    inputs = stored(case, precision)
    with torch.device("cuda" if device.name == "cuda" and torch.cuda.is_available() else "cpu"):
        leaves, expected, upstream = truth(case, precision)
        bound = bounds(case, precision, leaves, expected, upstream, longer)
    first, again = memories(device)

    def once(memory: Memory, wanted: list[str]) -> Results:
        with multiplying(precision):
            return run(op, case, inputs, upstream, wanted, device, memory)

    results = once(first, [*inputs])
    assert results.keys() == expected.keys(), f"{case}: results {[*results]}, wanted {[*expected]}"
    for name, array in results.items():
        dtype = dtype_of(case, name, precision)
        assert array.dtype.name == dtype, f"{case}: {name} is {array.dtype}, wanted {dtype}"
        compare(f"{case}: {name}", array, expected[name], bound[name])
    every_subset = len(inputs) > 1 and precision in (
        "fp32",
        "fp64",
    )  # how much is asked for is all the same to precisions
    if not every_subset or device.name != "interpret":  # which is slow
        same_bits(f"{case}, run again", once(again, [*inputs]), results)
    for name in inputs if every_subset else ():
        same_bits(f"{case}, {name} alone", once(again, [name]), results)


def stored(case: Case, precision: str) -> Results:
    """The inputs of a case as its op is given them. Parameters beside bf16 maps are float32, but have its few digits."""
    import ml_dtypes  # noqa: F401  it teaches NumPy the name bfloat16

    drawn = arrays(case, dtype_of(case, "dx", precision))
    return {name: a.astype(dtype_of(case, f"d{name}", precision)) for name, a in drawn.items() if a is not None}


def truth(case: Case, precision: str) -> tuple[Leaves, Results, np.ndarray]:
    """By torch in float64: the inputs as stored, result and gradients; and the upstream gradient."""
    inputs = stored(case, precision)
    leaves = {
        name: torch.tensor(inputs[name].astype("float64"), requires_grad=True) if name in inputs else None
        for name in case.shapes
    }
    y = TORCH[case.op](*leaves.values(), **case.settings)
    rng = np.random.default_rng(zlib.crc32(str(case).encode()) + 1)
    upstream = np.asarray(rng.standard_normal(tuple(y.shape)) + 0.2, dtype_of(case, "y", precision)).astype("float64")
    y.backward(torch.tensor(upstream))
    expected = {"y": y.detach().cpu().numpy()}
    for name, leaf in leaves.items():
        if leaf is not None and leaf.grad is not None:
            expected[f"d{name}"] = leaf.grad.cpu().numpy()
    return leaves, expected, upstream


def run(
    op: Callable[..., Tensor],
    case: Case,
    inputs: Results,
    upstream: np.ndarray,
    wanted: list[str],
    device: Device,
    memory: Memory,
) -> Results:
    """One forward and backward: the output `y` and the gradient `d<name>` of each wanted input, on the host."""
    with memory() as put:
        views, buffers = {}, {}
        for name, array in inputs.items():
            views[name], buffers[name] = place(array, put, case.strided)
        before = {name: to_host(buffer).tobytes() for name, buffer in buffers.items()}
        tensors = {name: Tensor(view, requires_grad=name in wanted, device=device) for name, view in views.items()}
        given = tensors | {"w": ops.cast(tensors["w"], tensors["x"].dtype)} if "w" in tensors else tensors
        y = op(*(given.get(name) for name in case.shapes), **case.settings)
        results = {"y": np.array(y.numpy())}
        assert y.shape == upstream.shape, f"{case}: y has shape {y.shape}, wanted {upstream.shape}"
        dy, buffers["upstream gradient"] = place(upstream.astype(y.dtype), put, case.strided)
        before["upstream gradient"] = to_host(buffers["upstream gradient"]).tobytes()
        y.backward(dy)
        for name, tensor in tensors.items():
            assert (tensor.grad is not None) == (name in wanted), f"{case}: d{name} there though not wanted, or missing"
            if tensor.grad is not None:
                results[f"d{name}"] = np.array(to_host(tensor.grad))
        for name, buffer in buffers.items():
            assert to_host(buffer).tobytes() == before[name], f"{case}: {name} was written to"
    return results


def place(array: np.ndarray, put: Place, strided: bool) -> tuple[Array, Array]:
    """`array` where `put` places it, and the memory it lies in. Strided: in reversed axis order, with NaN in the gaps."""
    if not strided or array.ndim == 0:
        placed = put(array)
        return placed, placed
    buffer = np.full([2 * n for n in reversed(array.shape)], np.nan, array.dtype)
    evens = (slice(None, None, 2),) * array.ndim
    buffer.T[evens] = array
    buffer = put(buffer)
    return buffer.T[evens], buffer


def memories(device: Device) -> tuple[Memory, Memory]:
    """For the first run and for all others."""
    if device.name == "interpret":
        return guarded(iter), guarded(shuffled(0))
    # Once before memory is poisoned: what numba compiles on first use must see the real np.empty.
    return lambda: contextlib.nullcontext(device.xp.array), lambda: poisoned(device)


def guarded(order: Callable[..., Any]) -> Memory:
    """The sanitiser's memory, with the programs of every launch in that order."""

    @contextlib.contextmanager
    def memory() -> Iterator[Place]:
        with sanitised(order, every_read=True) as guards:
            yield guards.guarded

    return memory


@contextlib.contextmanager
def poisoned(device: Device) -> Iterator[Place]:
    """Uninitialised memory is full of NaN, so that an element nobody writes is seen. Not inside compiled loops."""

    def poison(allocate: Callable[..., Array]) -> Callable[..., Array]:
        def allocate_and_fill(*args: Any, **settings: Any) -> Array:
            array = allocate(*args, **settings)
            if array.dtype.kind in "fV":  # V: bfloat16
                array.fill(np.nan)
            return array

        return allocate_and_fill

    xp = device.xp
    with mock.patch.multiple(xp, empty=poison(xp.empty), empty_like=poison(xp.empty_like)):
        yield xp.array


@contextlib.contextmanager
def multiplying(precision: str) -> Iterator[None]:
    """float32 matrices are multiplied with full precision, or as tensor cores do it; in the interpreter by cutting digits."""
    matmul = precision if precision in READ else "fp32"
    with mock.patch.object(hooks, "matmul", matmul):
        if matmul == "fp32":
            yield
            return
        from kernels.gpu import interpreter

        with mock.patch.object(interpreter, "_triton_dot", cut(interpreter._triton_dot)):
            yield


def cut(dot: Callable[..., Any]) -> Callable[..., Any]:
    """The interpreter's matrix product, reading 11 digits of its operands where the kernel says tf32."""

    def dot_of_cut(builder: Any, a: Any, b: Any, d: Any, precision: Any, *rest: Any) -> Any:
        if precision.name == "TF32":
            a, b = (type(x)((x.data.view(np.uint32) & 0xFFFFE000).view(np.float32), x.dtype) for x in (a, b))
        return dot(builder, a, b, d, precision, *rest)

    return dot_of_cut


def compare(what: str, result: np.ndarray, expected: np.ndarray, bound: np.ndarray | float) -> None:
    """AssertionError unless shapes agree and every element lies within its bound."""
    assert result.shape == expected.shape, f"{what} has shape {result.shape}, wanted {expected.shape}"
    if not expected.size:
        return
    error, bound = np.abs(result.astype("float64") - expected), np.broadcast_to(bound, expected.shape)
    bad = ~(error <= bound)  # written so that NaN is bad
    if bad.any():
        worst = np.unravel_index(np.argmax(np.where(bad, np.nan_to_num(error - bound, nan=np.inf), -np.inf)), bad.shape)
        raise AssertionError(
            f"{what} is wrong in {bad.sum()} of {bad.size} elements; worst at {tuple(map(int, worst))}: "
            f"{float(result[worst]):.9g}, wanted {expected[worst]:.9g} within {bound[worst]:.2g}, off by {error[worst]:.2g}"
        )


def same_bits(what: str, results: Results, others: Results) -> None:
    """AssertionError unless every one of `results` equals its namesake bit for bit."""
    for name, array in results.items():
        assert array.tobytes() == others[name].tobytes(), f"{what}: {name} has other bits than before"
