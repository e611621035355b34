"""Concatenation on the GPU, in either direction: pieces of one width, up to eight, are copied by one launch.

With respect to the joined axis an array is a matrix: all axes before it are rows, it and all axes after it are columns.
Grid: one program for 1024 elements of a piece, times pieces. Bytes: every piece read and written once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.launch import contiguous, empty, launch

MOST = 8
BLOCK = 1024


@triton.jit
def _instead(piece, k, number, other):
    """`other` for programs of piece `number`, if there is one, else `piece`."""
    return piece if other is None else tl.where(k == number, other, piece)


@triton.jit
def _copy(whole, p0, p1, p2, p3, p4, p5, p6, p7, n, columns, stride, start, SPLIT: tl.constexpr, BLOCK: tl.constexpr):
    """Program (i, k) owns elements [i BLOCK, (i + 1) BLOCK) of piece k: copied into `whole`, or out of it.

    whole      [rows,stride], the joined array            p0, p1, p2, p3, p4, p5, p6, p7  [rows,columns] each, the pieces, or None
    n          elements of a piece, at most 2^31 - 1     columns    of a piece
    stride     columns of `whole`                         start      the first piece's first column
    SPLIT      whether pieces are written, not `whole`    BLOCK      elements of a program
    """
    k = tl.program_id(1)
    piece = _instead(_instead(_instead(p0, k, 1, p1), k, 2, p2), k, 3, p3)
    piece = _instead(_instead(_instead(_instead(piece, k, 4, p4), k, 5, p5), k, 6, p6), k, 7, p7)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    there = (at // columns).to(tl.int64) * stride + start + k * columns + at % columns
    if SPLIT:
        tl.store(piece + at, tl.load(whole + there, mask=at < n, other=0.0), mask=at < n)
    else:
        tl.store(whole + there, tl.load(piece + at, mask=at < n, other=0.0), mask=at < n)


def forward(*xs: Array, axis: int = -1) -> Array:
    xs = contiguous(*xs)
    shape = list(xs[0].shape)
    axis %= len(shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    y = empty(xs[0], shape)
    _move(y, xs, axis, split=False)
    return y


def backward(dy: Array, *, widths: Sequence[int], axis: int = -1) -> tuple[Array, ...]:
    (dy,) = contiguous(dy)
    axis %= dy.ndim
    pieces = tuple(empty(dy, (*dy.shape[:axis], width, *dy.shape[axis + 1 :])) for width in widths)
    _move(dy, pieces, axis, split=True)
    return pieces


def _move(whole: Array, pieces: tuple[Array, ...], axis: int, split: bool) -> None:
    """Between `whole` and the pieces that lie side by side in it."""
    stride, start = math.prod(whole.shape[axis:]), 0
    for width, alike in itertools.groupby(pieces, key=lambda piece: piece.shape[axis]):
        columns, rest = width * math.prod(whole.shape[axis + 1 :]), list(alike)
        while rest:
            group, rest = rest[:MOST], rest[MOST:]
            n, pointers = group[0].size, (*group, *[None] * (MOST - len(group)))
            # Program (i, k) owns elements [1024 i, 1024 (i + 1)) of piece k of the group.
            launch(
                _copy, (triton.cdiv(n, BLOCK), len(group)), whole, *pointers, n, columns, stride, start,
                bytes=2 * sum(piece.nbytes for piece in group), SPLIT=split, BLOCK=BLOCK,
            )  # fmt: skip
            start += columns * len(group)
