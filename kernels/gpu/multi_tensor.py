"""Multi-tensor apply: one launch for many tensors, given a list of their addresses and a list of chunks, one a program.

An address from a list tells the compiler nothing about its alignment, and accesses would be 4 bytes wide. So a kernel
looks whether a block is whole and its addresses are multiples of 16, as nearly all are, and then says so: `wide`.
"""

from __future__ import annotations

import functools
from types import ModuleType

import numpy as np
import triton
import triton.language as tl

from kernels.device import Array, xp_of
from kernels.gpu.launch import hooks, upload

BLOCK = 1024
Rows = tuple[tuple[int, ...], ...]


@triton.jit
def pointer(address, TYPE: tl.constexpr):
    """An address as a pointer to TYPE."""
    return address.to(tl.pointer_type(TYPE))


@triton.jit
def wide(address, TYPE: tl.constexpr):
    """A multiple of 16 as a pointer to TYPE that is known to be one."""
    return tl.multiple_of(pointer(address, TYPE), 16)


def tensor_lists(like: Array, rows: Rows) -> tuple[Array, Array]:
    """`rows` [T,...] and chunks [B,2] on the device of `like`. A row is addresses, and ends with a number of elements.

    Row i of the second array names a row of the first and a block of 1024 elements: program i's.
    """
    make = _kept if hooks.capture is None else _made  # what a graph reads must be its own
    return make(xp_of(like), rows)


def _made(xp: ModuleType, rows: Rows) -> tuple[Array, Array]:
    chunks = [(row, block) for row, (*_, size) in enumerate(rows) for block in range(triton.cdiv(size, BLOCK))]
    return upload(xp, np.array(rows, np.int64)), upload(xp, np.array(chunks, np.int32))


_kept = functools.lru_cache(maxsize=8)(_made)  # memory pools hand out the same addresses at every step
