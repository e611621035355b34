"""Conversion between precisions on the GPU: one launch, also for many arrays; each element read and written once.

Grid: one program for a block of elements; of many arrays, for 1024 elements of one of them (see kernels/gpu/multi_tensor.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.launch import address, contiguous, empty, launch
from kernels.gpu.multi_tensor import BLOCK, floats, tables, wide

SIZE = 2048


@triton.jit
def _cast(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at, mask=at < n, other=0.0).to(tl.float32)
    tl.store(y + at, value.to(y.dtype.element_ty), mask=at < n)


@triton.jit
def _cast_many(table, owned, BLOCK: tl.constexpr):
    row, start = table + 3 * tl.load(owned + 2 * tl.program_id(0)), tl.load(owned + 2 * tl.program_id(0) + 1) * BLOCK
    x, y, size = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    at = start + tl.arange(0, BLOCK)
    low = y.to(tl.pointer_type(tl.bfloat16))
    if (start + BLOCK <= size) & ((x | y) % 16 == 0):  # nearly always: then accesses are 16 bytes wide
        tl.store(tl.multiple_of(low, 16) + at, tl.load(wide(x) + at).to(tl.bfloat16))
    else:
        value = tl.load(floats(x) + at, mask=at < size, other=0.0)
        tl.store(low + at, value.to(tl.bfloat16), mask=at < size)


def forward(x: Array, *, dtype: Any) -> Array:
    (x,) = contiguous(x)
    y = empty(x, x.shape, dtype)
    # Program i owns elements [2048 i, 2048 (i + 1)).
    launch(_cast, (triton.cdiv(x.size, SIZE),), x, y, x.size, BLOCK=SIZE)
    return y


def many(xs: Sequence[Array], *, dtype: Any) -> list[Array]:
    if len(xs) == 1 or {str(x.dtype) for x in xs} != {"float32"} or str(dtype) != "bfloat16":
        return [forward(x, dtype=dtype) for x in xs]
    xs = contiguous(*xs)  # bound to a name: the table holds addresses only
    ys = [empty(x, x.shape, dtype) for x in xs]
    table, owned = tables(xs[0], tuple((address(x), address(y), x.size) for x, y in zip(xs, ys, strict=True)))
    # Program i owns the 1024 elements of one array that row i of `owned` names.
    nbytes = sum(x.nbytes + y.nbytes for x, y in zip(xs, ys, strict=True))
    launch(_cast_many, owned.shape[:1], table, owned, bytes=nbytes, BLOCK=BLOCK)
    return ys
