"""Adam on the GPU: all tensors of a player in one launch.

A generator has 46 tensors of very different sizes; one launch each would cost more than the arithmetic. So the kernel gets
a list of tensors, and one that tells each program which 1024 elements of which tensor are its own (multi-tensor apply). The two
numbers that differ from step to step are read from `control`, so that a captured graph serves for every step.

While a weight is in registers, two things are done that would be launches of their own and fetch all weights again: a second
gradient is added to the first, as where a generator ran twice (`others`), and a copy in bfloat16 is written (`low`).

Grid: one program for 1024 elements of one tensor. Bytes: p, m, v read and written, g read: 28 for each parameter; 4 more for a
second gradient, 2 for the copy. Apart, these would be 12 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import triton
import triton.language as tl

from kernels.adam.reference import rates
from kernels.device import Array, address, xp_of
from kernels.gpu.launch import contiguous, launch, upload
from kernels.gpu.multi_tensor import BLOCK, pointer, tensor_lists, wide

TERMS = 2  # gradients that `update` adds up on its way; it takes `others` and `low`


@triton.jit
def _step(p, g, other, m, v, low, inside, has_other, has_low, rate, root, rate1, rate2, eps):
    """One step of BLOCK elements: p -= rate m / (root sqrt(v) + eps), behind m += rate1 (g - m) and v += rate2 (g g - v).

    p, g, m, v     pointers [BLOCK] to float32: parameters, moments, both written, and gradients
    other          pointers [BLOCK] to float32, added to g if has_other
    low            pointers [BLOCK] to bfloat16, p as written if has_low
    inside         [BLOCK], whether there is such an element
    rate, root     lr / (1 - beta1^step), (1 - beta2^step)^-1/2
    rate1, rate2   1 - beta1, 1 - beta2
    eps            keeps the denominator from 0
    """
    gradient = tl.load(g, mask=inside, other=0.0)
    gradient += tl.load(other, mask=inside & has_other, other=0.0)
    first = tl.load(m, mask=inside, other=0.0)
    first += rate1 * (gradient - first)
    second = tl.load(v, mask=inside, other=0.0)
    second += rate2 * (gradient * gradient - second)
    parameter = tl.load(p, mask=inside, other=0.0) - rate * first / (tl.sqrt(second) * root + eps)
    tl.store(m, first, mask=inside)
    tl.store(v, second, mask=inside)
    tl.store(p, parameter, mask=inside)
    tl.store(low, parameter.to(tl.bfloat16), mask=inside & has_low)


@triton.jit
def _adam(tensors, chunks, control, rate1, rate2, eps, BLOCK: tl.constexpr):
    """Program i owns the BLOCK elements of one tensor that row i of chunks [B,2] names; see `_step`.

    tensors        [T,7] int64: addresses of p, g, other, m, v, low (0 for none), and their size
    chunks         [B,2] int32: a row of `tensors`, and a block of its elements
    control        [2] float32: rate and root
    rate1, rate2   1 - beta1, 1 - beta2
    """
    rate, root = tl.load(control), tl.load(control + 1)
    row, start = (
        tensors + 7 * tl.load(chunks + 2 * tl.program_id(0)),
        tl.load(chunks + 2 * tl.program_id(0) + 1) * BLOCK,
    )
    p, g, other, m = tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
    v, low, size = tl.load(row + 4), tl.load(row + 5), tl.load(row + 6)
    at = start + tl.arange(0, BLOCK)  # [BLOCK]
    if (start + BLOCK <= size) & ((p | g | other | m | v | low) % 16 == 0):  # nearly always: accesses of 16 bytes
        whole = tl.full((BLOCK,), True, tl.int1)
        _step(
            wide(p, tl.float32) + at, wide(g, tl.float32) + at, wide(other, tl.float32) + at, wide(m, tl.float32) + at,
            wide(v, tl.float32) + at, wide(low, tl.bfloat16) + at, whole, other != 0, low != 0, rate, root, rate1, rate2, eps,
        )  # fmt: skip
    else:
        _step(
            pointer(p, tl.float32) + at, pointer(g, tl.float32) + at, pointer(other, tl.float32) + at,
            pointer(m, tl.float32) + at, pointer(v, tl.float32) + at, pointer(low, tl.bfloat16) + at,
            at < size, other != 0, low != 0, rate, root, rate1, rate2, eps,
        )  # fmt: skip


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
    others: Sequence[Array | None] = (),
    low: Sequence[Array | None] = (),
) -> None:
    """`others` are added to the gradients, `low` [*] bfloat16 are written; None where there is none of a parameter."""
    if not params:
        return
    none = [None] * len(params)
    grads, others = contiguous(*grads), contiguous(*others or none)  # bound: addresses in a table keep nothing alive
    rows = list(zip(params, grads, others, m, v, low or none, strict=True))
    for row in rows:
        _check(row)
    addresses = tuple((*(0 if a is None else address(a) for a in row), row[0].size) for row in rows)
    tensors, chunks = tensor_lists(params[0], addresses)
    if control is None:
        control = upload(xp_of(params[0]), np.array(rates(lr, beta1, beta2, step), np.float32))
    # Program i owns the 1024 elements of one tensor that row i of `chunks` names.
    launch(
        _adam, chunks.shape[:1], tensors, chunks, control, 1 - beta1, 1 - beta2, float(eps),
        bytes=sum((28 + 4 * (g is not None) + 2 * (h is not None)) * p.size for p, _, g, _, _, h in rows), BLOCK=BLOCK,
    )  # fmt: skip


def _check(row: tuple[Array, ...]) -> None:
    *full, low = row
    p, _, _, *moments = full
    if any(a is not None and a.dtype != "float32" for a in full) or (low is not None and low.dtype.name != "bfloat16"):
        seen = [str(a.dtype) for a in row if a is not None]
        raise TypeError(f"adam: float32 weights, gradients and moments, and copies in bfloat16 wanted, got {seen}")
    if any(a is not None and a.shape != p.shape for a in row):
        shapes = [a.shape for a in row if a is not None]
        raise ValueError(f"adam: shapes of a weight, its gradients and moments differ: {shapes}")
    if not all(a is None or a.flags.c_contiguous for a in (p, *moments, low)):
        raise ValueError("adam: weights and moments are updated in place and must be contiguous")
