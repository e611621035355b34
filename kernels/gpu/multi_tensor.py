"""Multi-tensor apply: one launch for many tensors, given a list of their addresses and a list of chunks, one a program.

An address from a list tells the compiler nothing about its alignment, and accesses would be 4 bytes wide. So a kernel
looks whether a block is whole and its addresses are multiples of 16, as nearly all are, and then says so: `wide`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import triton
import triton.language as tl

from kernels.device import Array, address, xp_of
from kernels.gpu.launch import empty, hooks, launch, upload

BLOCK = 1024
Rows = tuple[tuple[int, ...], ...]


@triton.jit
def pointer(address, TYPE: tl.constexpr):
    """An address as a pointer to TYPE."""
    return address.to(tl.pointer_type(TYPE))


@triton.jit
def wide(address, TYPE: tl.constexpr):
    """A multiple of 16 as a pointer to TYPE that is known to be one. (Triton 3.6 forgets it if `pointer` is called for it.)"""
    return tl.multiple_of(address.to(tl.pointer_type(TYPE)), 16)


def tensor_lists(like: Array, rows: Rows) -> tuple[Array, Array]:
    """`rows` [T,...] and chunks [B,2] on the device of `like`. A row is addresses, and ends with a number of elements.

    Row i of the second array names a row of the first and a block of 1024 elements: program i's.
    """
    make = _kept if hooks.capture is None else _made  # what a graph reads must be its own
    return make(xp_of(like), rows)


def address_table(like: Array, tensors: Sequence[Sequence[Array]]) -> Array:
    """The addresses of some arrays in each row, [T,...] int64 on the device of `like`. They keep no array alive."""
    rows = tuple(tuple(map(address, row)) for row in tensors)
    return (_kept_table if hooks.capture is None else _table)(xp_of(like), rows)


def _table(xp: ModuleType, rows: Rows) -> Array:
    return upload(xp, np.array(rows, np.int64))


_kept_table = functools.lru_cache(maxsize=32)(_table)


def _made(xp: ModuleType, rows: Rows) -> tuple[Array, Array]:
    chunks = [(row, block) for row, (*_, size) in enumerate(rows) for block in range(triton.cdiv(size, BLOCK))]
    return _table(xp, rows), upload(xp, np.array(chunks, np.int32))


_kept = functools.lru_cache(maxsize=32)(_made)  # memory pools hand out the same addresses at every step


@triton.jit
def _gather(numbers, out):
    """Program i owns out [i], which becomes the number at address [i,0] of `numbers` [T,2]; T is the grid's size."""
    i = tl.program_id(0)
    tl.store(out + i, tl.load(pointer(tl.load(numbers + 2 * i), tl.float32)))


def gathered(numbers: Sequence[Array]) -> Array:
    """Arrays of one number each as one array [T] of float32 on their device."""
    numbers = [number.astype(np.float32, copy=False) for number in numbers]  # nearly always they are: losses
    first, rows = numbers[0], tuple((address(number), 1) for number in numbers)
    out = empty(first, (len(rows),), np.float32)
    # Program i owns out[i].
    launch(_gather, (len(rows),), tensor_lists(first, rows)[0], out, bytes=16 * len(rows))
    return out
