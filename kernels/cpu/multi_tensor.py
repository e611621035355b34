"""Multi-tensor apply on the CPU: many float32 arrays in one loop, for what is done to all weights of a network at once.

Handing a loop to the threads costs as much time as some ten thousand numbers, and most arrays are smaller. So the arrays
lie one after the other in thought, each thread takes a stretch of that line, and a table of addresses says what lies where.
`kernels/gpu/multi_tensor.py` is the same idea on the GPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from kernels.cpu.compiler import subroutine
from kernels.cpu.noted import here
from kernels.cpu.threads import share
from kernels.device import Array


def multi_tensor_apply(function: Callable[..., None], rows: Sequence[Sequence[Array]], *args: Any) -> None:
    """Run function(first, last, table, *args) on a stretch of all numbers of `rows` on each core.

    rows  contiguous float32 arrays, those of a row of one size

    `function` finds its chunk of a row's j-th array with `chunk(table, row, j, first, last)`.
    """
    ends = itertools.accumulate(row[0].size for row in rows)
    table = np.array([(*(a.ctypes.data for a in row), end) for row, end in zip(rows, ends, strict=True)], np.int64)
    numbers = int(table[-1, -1])
    if here.notes is not None:
        here.notes.keep(table, *itertools.chain(*rows))
    share(function, numbers, len(rows[0]) * numbers, table, *args)


def _as_pointer(context, address):
    """An address as a pointer to float32."""

    def code(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), code


_pointer: Any = intrinsic(_as_pointer)


@subroutine
def chunk(table, row, j, first, last):
    """Of the numbers first..last of all rows those that lie in this row, in its j-th array: a flat array, often empty"""
    start = table[row - 1, -1] if row else 0
    low, high = max(first, start), min(last, table[row, -1])
    return numba.carray(_pointer(table[row, j] + 4 * (low - start)), max(0, high - low))
