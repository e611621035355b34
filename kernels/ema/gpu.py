"""The exponential moving average on the GPU: all tensors in one launch (multi-tensor apply, as in kernels/adam).

Grid: one program for 1024 elements of one tensor. Bytes: averages read and written, weights read: 12 for each number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import triton
import triton.language as tl

from kernels.device import Array, address, xp_of
from kernels.gpu.launch import launch, upload
from kernels.gpu.multi_tensor import BLOCK, pointer, tensor_lists, wide


@triton.jit
def _towards(average, now, inside, share):
    """average += share (now - average), both pointers [BLOCK] to float32; inside [BLOCK]: whether there is such an element."""
    old = tl.load(average, mask=inside, other=0.0)
    tl.store(average, old + share * (tl.load(now, mask=inside, other=0.0) - old), mask=inside)


@triton.jit
def _average(tensors, chunks, share, BLOCK: tl.constexpr):
    """Program i owns the BLOCK elements of one tensor that row i of chunks [B,2] names: it moves them by `share` [1].

    tensors    [T,3] int64: addresses of an average and of what it follows, and their size
    chunks     [B,2] int32: a row of `tensors`, and a block of its elements
    """
    row = tensors + 3 * tl.load(chunks + 2 * tl.program_id(0))
    start = tl.load(chunks + 2 * tl.program_id(0) + 1) * BLOCK
    average, now, size = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    at = start + tl.arange(0, BLOCK)  # [BLOCK]
    if (start + BLOCK <= size) & ((average | now) % 16 == 0):  # nearly always: then accesses are 16 bytes wide
        _towards(
            wide(average, tl.float32) + at, wide(now, tl.float32) + at, tl.full((BLOCK,), True, tl.int1), tl.load(share)
        )
    else:
        _towards(pointer(average, tl.float32) + at, pointer(now, tl.float32) + at, at < size, tl.load(share))


def update(averages: Sequence[Array], now: Sequence[Array], *, share: float | Array) -> None:
    for average, weights in zip(averages, now, strict=True):
        if average.shape != weights.shape or {str(average.dtype), str(weights.dtype)} != {"float32"}:
            raise ValueError(
                f"ema: {average.dtype} {average.shape} follows {weights.dtype} {weights.shape}; wanted float32 of one shape"
            )
        if not (average.flags.c_contiguous and weights.flags.c_contiguous):
            raise ValueError("ema: averages are updated in place, and they and the weights must be contiguous")
    rows = tuple(
        (address(average), address(weights), weights.size) for average, weights in zip(averages, now, strict=True)
    )
    tensors, chunks = tensor_lists(averages[0], rows)
    if isinstance(share, float):
        share = upload(xp_of(averages[0]), np.array([share], np.float32))
    # Program i owns the 1024 elements of one tensor that row i of `chunks` names.
    launch(
        _average, chunks.shape[:1], tensors, chunks, share,
        bytes=12 * sum(weights.size for weights in now), BLOCK=BLOCK,
    )  # fmt: skip
