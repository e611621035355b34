"""Concatenation on the GPU: every piece is copied by one launch, in either direction.

With respect to the joined axis an array is a matrix: all axes before it are rows, it and all axes after it are columns.
Grid: one program for 1024 elements of the piece. Bytes: every piece read and written once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import triton
import triton.language as tl

from kernels.device import Array
from kernels.launch import contiguous, empty, launch

BLOCK = 1024


@triton.jit
def _copy(source, target, n, columns, source_stride, source_start, target_stride, target_start, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column = at // columns, at % columns
    value = tl.load(source + row * source_stride + source_start + column, mask=at < n, other=0.0)
    tl.store(target + row * target_stride + target_start + column, value, mask=at < n)


def forward(*xs: Array, axis: int = -1) -> Array:
    xs = contiguous(*xs)
    shape = list(xs[0].shape)
    axis %= len(shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    y = empty(xs[0], shape)
    stride, start = math.prod(shape[axis:]), 0
    for x in xs:
        columns = math.prod(x.shape[axis:])
        # Program i owns elements [1024 i, 1024 (i + 1)) of the piece x.
        sizes = (x.size, columns, columns, 0, stride, start)
        launch(_copy, (triton.cdiv(x.size, BLOCK),), x, y, *sizes, bytes=2 * x.nbytes, BLOCK=BLOCK)
        start += columns
    return y


def backward(dy: Array, *, widths: Sequence[int], axis: int = -1) -> tuple[Array, ...]:
    (dy,) = contiguous(dy)
    axis %= dy.ndim
    inner = math.prod(dy.shape[axis + 1 :])
    stride, start = dy.shape[axis] * inner, 0
    pieces = []
    for width in widths:
        dx = empty(dy, (*dy.shape[:axis], width, *dy.shape[axis + 1 :]))
        columns = width * inner
        # Program i owns elements [1024 i, 1024 (i + 1)) of the piece dx.
        sizes = (dx.size, columns, stride, start, columns, 0)
        launch(_copy, (triton.cdiv(dx.size, BLOCK),), dy, dx, *sizes, bytes=2 * dx.nbytes, BLOCK=BLOCK)
        pieces.append(dx)
        start += columns
    return tuple(pieces)
