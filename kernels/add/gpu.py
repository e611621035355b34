"""Addition on the GPU: up to eight arrays in one launch, and the sums for all leaves of a network in one more.

Grid: one program for 1024 elements. Bytes: every array once. Sums are made in float32, from left to right.

A network has some 50 leaves of very different sizes, so `totals` works as Adam does (see kernels/adam/gpu.py): a table of
addresses, and a list that tells each program which row of the table and which block of it are its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import triton
import triton.language as tl

from kernels.add import reference
from kernels.device import Array
from kernels.gpu.launch import DTYPES, address, contiguous, empty, launch
from kernels.gpu.multi_tensor import BLOCK, tensor_lists

MOST = 8


@triton.jit
def _load(x, at, n):
    """Elements `at` [BLOCK] of x [n], 0 beyond, in float32."""
    return tl.load(x + at, mask=at < n, other=0.0).to(tl.float32)


@triton.jit
def _add(y, x0, x1, x2, x3, x4, x5, x6, x7, n, BLOCK: tl.constexpr):
    """Program i owns elements [i BLOCK, (i + 1) BLOCK) of n: y = x0 + x1 + ..., from left to right, in float32.

    y              written; x0, x1, x2, x3, x4, x5, x6, x7 the terms, those from x2 on may be None: [n] each
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    total = _load(x0, at, n) + _load(x1, at, n)
    if x2 is not None:
        total += _load(x2, at, n)
    if x3 is not None:
        total += _load(x3, at, n)
    if x4 is not None:
        total += _load(x4, at, n)
    if x5 is not None:
        total += _load(x5, at, n)
    if x6 is not None:
        total += _load(x6, at, n)
    if x7 is not None:
        total += _load(x7, at, n)
    tl.store(y + at, total, mask=at < n)


@triton.jit
def _totals(tensors, chunks, COUNT: tl.constexpr, BF16: tl.constexpr, BLOCK: tl.constexpr):
    """Program i owns the BLOCK elements of one sum of COUNT arrays that row i of chunks [B,2] names; bit j of BF16: array j's dtype."""
    row = tensors + tl.load(chunks + 2 * tl.program_id(0)) * (COUNT + 2)  # addresses of y, x0, x1, ...; the size
    start = tl.load(chunks + 2 * tl.program_id(0) + 1) * BLOCK
    size = tl.load(row + COUNT + 1)
    every = tl.load(row)
    for i in tl.static_range(COUNT):
        every |= tl.load(row + 1 + i)
    if (start + BLOCK <= size) & (every % 16 == 0):  # nearly always: then accesses are 16 bytes wide
        _total(row, start, start + BLOCK, COUNT, BF16, True, BLOCK)
    else:
        _total(row, start, size, COUNT, BF16, False, BLOCK)


@triton.jit
def _total(row, start, end, COUNT: tl.constexpr, BF16: tl.constexpr, WHOLE: tl.constexpr, BLOCK: tl.constexpr):
    """The elements from start to end of the sum that a row of the list names."""
    at = start + tl.arange(0, BLOCK)
    inside = tl.full((BLOCK,), True, tl.int1) if WHOLE else at < end
    total = tl.zeros((BLOCK,), tl.float32)
    for i in tl.static_range(COUNT):
        if (BF16 >> i) % 2 == 1:
            x = tl.load(row + 1 + i).to(tl.pointer_type(tl.bfloat16))
        else:
            x = tl.load(row + 1 + i).to(tl.pointer_type(tl.float32))
        if WHOLE:
            x = tl.multiple_of(x, 16)
        total += tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    y = tl.load(row).to(tl.pointer_type(tl.float32))
    if WHOLE:
        y = tl.multiple_of(y, 16)
    tl.store(y + at, total, mask=inside)


def forward(*xs: Array) -> Array:
    if len({(x.shape, str(x.dtype)) for x in xs}) > 1 or str(xs[0].dtype) not in DTYPES:
        return reference.forward(*xs)  # broadcasting is not on the way of a training step
    if len(xs) == 1:
        return xs[0]
    first, rest = contiguous(*xs[:MOST]), xs[MOST:]
    y = empty(first[0], first[0].shape)
    # Program i owns elements [1024 i, 1024 (i + 1)).
    pointers = (*first, *[None] * (MOST - len(first)))
    launch(_add, (triton.cdiv(y.size, BLOCK),), y, *pointers, y.size, BLOCK=BLOCK)
    return forward(y, *rest)


def totals(groups: Sequence[Sequence[Array]], dtypes: Sequence[Any]) -> list[Array]:
    results: list[Any] = [None] * len(groups)
    together: dict[tuple[str, ...], list[int]] = defaultdict(list)  # groups of like dtypes share a launch
    for i, (xs, dtype) in enumerate(zip(groups, dtypes, strict=True)):
        if len(xs) == 1 and xs[0].dtype == dtype:
            results[i] = xs[0]
        else:
            together[tuple(str(x.dtype) for x in xs)].append(i)
    for kinds, members in together.items():
        if not set(kinds) <= {"float32", "bfloat16"} or any(str(dtypes[i]) != "float32" for i in members):
            raise TypeError(f"add: sums of float32 and bfloat16 in float32 wanted, got {kinds}")
        rows, nbytes = [], 0
        kept = [contiguous(*groups[i]) for i in members]  # bound to a name: the table holds addresses only
        for i, xs in zip(members, kept, strict=True):
            results[i] = empty(xs[0], xs[0].shape, "float32")
            rows.append((address(results[i]), *map(address, xs), results[i].size))
            nbytes += results[i].nbytes + sum(x.nbytes for x in xs)
        tensors, chunks = tensor_lists(kept[0][0], tuple(rows))
        bf16 = sum(2**i for i, kind in enumerate(kinds) if kind == "bfloat16")
        # Program i owns the 1024 elements of one sum that row i of `chunks` names.
        launch(
            _totals, chunks.shape[:1], tensors, chunks,
            bytes=nbytes, COUNT=len(kinds), BF16=bf16, BLOCK=BLOCK,
        )  # fmt: skip
    return results
