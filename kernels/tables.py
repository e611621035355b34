"""What kernels over many tensors share: a table of addresses, and who owns which block of which tensor."""

from __future__ import annotations

import functools

import numpy as np
import triton

from kernels.device import Array
from kernels.launch import hooks, upload

BLOCK = 1024
Rows = tuple[tuple[int, ...], ...]


def tables(like: Array, rows: Rows) -> tuple[Array, Array]:
    """`rows` [T,...] and owned blocks [B,2] on the device of `like`. A row ends with a number of elements.

    Row i of the second names a row of the first, and which 1024 elements of that tensor program i owns.
    """
    if hooks.capture is not None:  # a graph must own what it reads
        return _tables(like, rows)
    return _kept(_Like(like), rows)


def _tables(like: Array, rows: Rows) -> tuple[Array, Array]:
    owned = [(row, block) for row, (*_, size) in enumerate(rows) for block in range(triton.cdiv(size, BLOCK))]
    return upload(like, np.array(rows, np.int64)), upload(like, np.array(owned, np.int32))
