"""Gradient clipping on the GPU: three launches for all tensors (multi-tensor apply), and the host waits for nothing.

Sums of squares of 1024 elements each, in any order; one program that adds those in a fixed order and finds the factor; and
the scaling. Bytes: gradients read twice and written once, 12 for each number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import triton
import triton.language as tl

from kernels.device import Array, address
from kernels.gpu.launch import contiguous, empty, launch
from kernels.gpu.multi_tensor import BLOCK, pointer, tensor_lists


@triton.jit
def _squares(tensors, chunks, partials, BLOCK: tl.constexpr):
    """Program i owns partial i of [B]: the sum of squares, as a tree, of the elements that row i of chunks [B,2] names.

    tensors    [T,3] int64: addresses of a gradient and of what becomes of it, and their size
    chunks     [B,2] int32: a row of `tensors`, and a block of its elements
    """
    row = tensors + 3 * tl.load(chunks + 2 * tl.program_id(0))
    at = tl.load(chunks + 2 * tl.program_id(0) + 1) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    g = tl.load(pointer(tl.load(row), tl.float32) + at, mask=at < tl.load(row + 2), other=0.0)
    tl.store(partials + tl.program_id(0), tl.sum(g * g, 0))


@triton.jit
def _factor(partials, factor, count, most, BLOCK: tl.constexpr):
    """One program: factor [1] of all gradients, from partials [count]. Lane i adds every BLOCK-th, then lanes as a tree."""
    lanes = tl.zeros((BLOCK,), tl.float32)  # [BLOCK]
    for start in range(0, count, BLOCK):
        at = start + tl.arange(0, BLOCK)  # [BLOCK]
        lanes += tl.load(partials + at, mask=at < count, other=0.0)
    norm = tl.sqrt(tl.sum(lanes, 0))
    tl.store(factor, tl.where(norm > most, most / (norm + 1e-6), 1.0))


@triton.jit
def _scale(tensors, chunks, factor, BLOCK: tl.constexpr):
    """Program i owns the elements that row i of `chunks` names, see `_squares`: the gradient times `factor` [1]."""
    row = tensors + 3 * tl.load(chunks + 2 * tl.program_id(0))
    at = tl.load(chunks + 2 * tl.program_id(0) + 1) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    inside = at < tl.load(row + 2)
    g = tl.load(pointer(tl.load(row), tl.float32) + at, mask=inside, other=0.0)
    tl.store(pointer(tl.load(row + 1), tl.float32) + at, g * tl.load(factor), mask=inside)


def forward(grads: Sequence[Array], *, most: float) -> list[Array]:
    if odd := {str(grad.dtype) for grad in grads} - {"float32"}:
        raise TypeError(f"clip_grad_norm: float32 gradients wanted, got {', '.join(odd)}")
    grads = contiguous(*grads)  # bound to a name: the table holds addresses, which keep nothing alive
    scaled = [empty(grad, grad.shape) for grad in grads]
    rows = tuple((address(grad), address(new), grad.size) for grad, new in zip(grads, scaled, strict=True))
    tensors, chunks = tensor_lists(grads[0], rows)
    partials, factor = empty(grads[0], (len(chunks),), np.float32), empty(grads[0], (1,), np.float32)
    total = sum(grad.nbytes for grad in grads)
    # Program i owns the 1024 elements of one tensor that row i of `chunks` names, and partial i.
    launch(_squares, chunks.shape[:1], tensors, chunks, partials, bytes=total, BLOCK=BLOCK)
    # One program adds the partials.
    launch(_factor, (1,), partials, factor, len(chunks), float(most), BLOCK=BLOCK)
    # Program i owns the 1024 elements of one tensor that row i of `chunks` names.
    launch(_scale, chunks.shape[:1], tensors, chunks, factor, bytes=2 * total, BLOCK=BLOCK)
    return scaled
