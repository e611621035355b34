"""Adam on the GPU: all tensors of a player in one launch.

A generator has 46 tensors of very different sizes; one launch each would cost more than the arithmetic. So the kernel gets
a list of tensors, and one that tells each program which 1024 elements of which tensor are its own (multi-tensor apply). The two
numbers that differ from step to step are read from `control`, so that a captured graph serves for every step.
Grid: one program for 1024 elements of one tensor. Bytes: p, m, v read and written, g read: 28 for each parameter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import triton
import triton.language as tl

from kernels.adam.reference import rates
from kernels.device import Array, address, xp_of
from kernels.gpu.launch import contiguous, launch, upload
from kernels.gpu.multi_tensor import BLOCK, floats, tensor_lists, wide


@triton.jit
def _step(p, g, m, v, inside, rate, root, rate1, rate2, eps):
    """One step of BLOCK elements: p -= rate m / (root sqrt(v) + eps), behind m += rate1 (g - m) and v += rate2 (g g - v).

    p, g, m, v     pointers [BLOCK] to float32: parameters, moments, both written, and gradients
    inside         [BLOCK], whether there is such an element
    rate, root     lr / (1 - beta1^step), (1 - beta2^step)^-1/2
    rate1, rate2   1 - beta1, 1 - beta2
    eps            keeps the denominator from 0
    """
    gradient = tl.load(g, mask=inside, other=0.0)
    first = tl.load(m, mask=inside, other=0.0)
    first += rate1 * (gradient - first)
    second = tl.load(v, mask=inside, other=0.0)
    second += rate2 * (gradient * gradient - second)
    parameter = tl.load(p, mask=inside, other=0.0) - rate * first / (tl.sqrt(second) * root + eps)
    tl.store(m, first, mask=inside)
    tl.store(v, second, mask=inside)
    tl.store(p, parameter, mask=inside)


@triton.jit
def _adam(tensors, chunks, control, rate1, rate2, eps, BLOCK: tl.constexpr):
    """Program i owns the BLOCK elements of one tensor that row i of chunks [B,2] names; see `_step`.

    tensors        [T,5] int64: addresses of p, g, m, v, and their size
    chunks         [B,2] int32: a row of `tensors`, and a block of its elements
    control        [2] float32: rate and root
    rate1, rate2   1 - beta1, 1 - beta2
    """
    rate, root = tl.load(control), tl.load(control + 1)
    row, start = (
        tensors + 5 * tl.load(chunks + 2 * tl.program_id(0)),
        tl.load(chunks + 2 * tl.program_id(0) + 1) * BLOCK,
    )
    p, g, m, v, size = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3), tl.load(row + 4)
    at = start + tl.arange(0, BLOCK)  # [BLOCK]
    if (start + BLOCK <= size) & ((p | g | m | v) % 16 == 0):  # nearly always: then accesses are 16 bytes wide
        whole = tl.full((BLOCK,), True, tl.int1)
        _step(wide(p) + at, wide(g) + at, wide(m) + at, wide(v) + at, whole, rate, root, rate1, rate2, eps)
    else:
        _step(floats(p) + at, floats(g) + at, floats(m) + at, floats(v) + at, at < size, rate, root, rate1, rate2, eps)


def update(
    params: Sequence[Array],
    grads: Sequence[Array],
    m: Sequence[Array],
    v: Sequence[Array],
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    step: int,
    control: Array | None = None,
) -> None:
    if not params:
        return
    grads = contiguous(*grads)  # bound to a name: the table holds addresses, which keep nothing alive
    rows = list(zip(params, grads, m, v, strict=True))
    for row in rows:
        _check(row)
    addresses = tuple((*map(address, row), row[0].size) for row in rows)
    tensors, chunks = tensor_lists(params[0], addresses)
    if control is None:
        control = upload(xp_of(params[0]), np.array(rates(lr, beta1, beta2, step), np.float32))
    # Program i owns the 1024 elements of one tensor that row i of `chunks` names.
    launch(
        _adam, chunks.shape[:1], tensors, chunks, control, 1 - beta1, 1 - beta2, float(eps),
        bytes=28 * sum(p.size for p in params), BLOCK=BLOCK,
    )  # fmt: skip


def _check(row: tuple[Array, ...]) -> None:
    p, _, *moments = row
    if any(a.dtype != "float32" for a in row):
        raise TypeError(f"adam: float32 weights, gradients and moments wanted, got {[str(a.dtype) for a in row]}")
    if any(a.shape != p.shape for a in row):
        raise ValueError(f"adam: shapes of a weight, its gradient and moments differ: {[a.shape for a in row]}")
    if not all(a.flags.c_contiguous for a in (p, *moments)):
        raise ValueError("adam: weights and moments are updated in place and must be contiguous")
