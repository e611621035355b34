"""Adam on the GPU: all tensors of a player in one launch.

A generator has 46 tensors of very different sizes; one launch each would cost more than the arithmetic. So the kernel gets
a table of addresses, and a list that tells each program which tensor and which 1024 elements of it are its own. The two
numbers that differ from step to step are read from `control`, so that a captured graph serves for every step.
Grid: one program for 1024 elements of one tensor. Bytes: p, m, v read and written, g read: 28 for each parameter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import triton
import triton.language as tl

from kernels.adam.reference import rates
from kernels.device import Array, xp_of
from kernels.launch import address, contiguous, launch, upload
from kernels.tables import BLOCK, tables


@triton.jit
def _tensor(table, row, column: tl.constexpr, ALIGNED: tl.constexpr):
    pointer = tl.load(table + 5 * row + column).to(tl.pointer_type(tl.float32))
    if ALIGNED:
        pointer = tl.multiple_of(pointer, 16)  # allows 16-byte loads, as for pointers that are arguments
    return pointer


@triton.jit
def _step(p, g, m, v, inside, rate, root, rate1, rate2, eps):
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
def _adam(table, owned, control, rate1, rate2, eps, ALIGNED: tl.constexpr, BLOCK: tl.constexpr):
    rate, root = tl.load(control), tl.load(control + 1)
    row, start = tl.load(owned + 2 * tl.program_id(0)), tl.load(owned + 2 * tl.program_id(0) + 1) * BLOCK
    at = start + tl.arange(0, BLOCK)
    size = tl.load(table + 5 * row + 4)
    p, g = _tensor(table, row, 0, ALIGNED) + at, _tensor(table, row, 1, ALIGNED) + at
    m, v = _tensor(table, row, 2, ALIGNED) + at, _tensor(table, row, 3, ALIGNED) + at
    if start + BLOCK <= size:  # nearly always; a mask known to be all true keeps the 16-byte loads
        _step(p, g, m, v, tl.full((BLOCK,), True, tl.int1), rate, root, rate1, rate2, eps)
    else:
        _step(p, g, m, v, at < size, rate, root, rate1, rate2, eps)


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
    tensors = list(zip(params, grads, m, v, strict=True))
    for row in tensors:
        _check(row)
    addresses = tuple((*map(address, row), row[0].size) for row in tensors)
    table, owned = tables(params[0], addresses)
    if control is None:
        control = upload(xp_of(params[0]), np.array(rates(lr, beta1, beta2, step), np.float32))
    aligned = all(a % 16 == 0 for row in addresses for a in row[:4])
    # Program i owns the 1024 elements of one tensor that row i of `owned` names.
    launch(
        _adam, owned.shape[:1], table, owned, control, 1 - beta1, 1 - beta2, float(eps),
        bytes=28 * sum(p.size for p in params), ALIGNED=aligned, BLOCK=BLOCK,
    )  # fmt: skip


def _check(row: tuple[Array, ...]) -> None:
    p, _, *moments = row
    if any(a.dtype != "float32" for a in row):
        raise TypeError(f"adam: float32 weights, gradients and moments wanted, got {[str(a.dtype) for a in row]}")
    if any(a.shape != p.shape for a in row):
        raise ValueError(f"adam: shapes of a weight, its gradient and moments differ: {[a.shape for a in row]}")
    if not all(a.flags.c_contiguous for a in (p, *moments)):
        raise ValueError("adam: weights and moments are updated in place and must be contiguous")
