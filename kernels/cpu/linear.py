"""Small constant matrices for numba code, each applied to many channels at once.

`linear(A)` makes a function for numba code that computes y[i] = sum over j of A[i,j] x[j], where every x[j] and y[i] is a run of
channels: whole vectors of the CPU, with the matrix's numbers in the instructions and its zeros left out. numba alone would
have to prove first that no run overlaps another.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.compiler import subroutine
from kernels.cpu.gemm import FLOAT, INT, LANES, VECTOR


def linear(matrix: np.ndarray, add: bool = False) -> Any:
    """The function (x, x_at, x_step, y, y_at, y_step, count): y[i] = sum of matrix[i,j] x[j], or `add` it, for `count` channels.

    x[j] starts at x_at + j x_step of a flat array, y[i] at y_at + i y_step. `count` is a multiple of LANES. All of a vector's
    x[j] are read before any y[i] is written, so that y may be x. Nothing is checked.
    """
    rows = [[(j, float(a)) for j, a in enumerate(row) if a] for row in matrix]
    used = sorted({j for row in rows for j, _ in row})

    @intrinsic
    def apply(context, x, x_at, x_step, y, y_at, y_step, count):
        arguments = (x, x_at, x_step, y, y_at, y_step, count)

        def code(context, builder, signature, values):
            def integer(i: int) -> ir.Value:
                return context.cast(builder, values[i], signature.args[i], types.int64)

            def start(i: int) -> ir.Value:
                data = context.make_array(signature.args[i])(context, builder, values[i]).data
                return builder.gep(builder.bitcast(data, FLOAT.as_pointer()), [integer(i + 1)])

            def run(base: ir.Value, number: int, step: ir.Value, c: ir.Value) -> ir.Value:
                at = builder.add(builder.mul(ir.Constant(INT, number), step), c)
                return builder.bitcast(builder.gep(base, [at]), VECTOR.as_pointer())

            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
            )
            source, target, x_step, y_step = start(0), start(3), integer(2), integer(5)
            zero, lanes = ir.Constant(INT, 0), ir.Constant(INT, LANES)
            with cgutils.for_range_slice(builder, zero, integer(6), lanes, INT) as (c, _):
                channels = {j: builder.load(run(source, j, x_step, c), align=4) for j in used}
                results = []
                for row in rows:
                    total = None
                    for j, a in row:
                        if total is None and a == 1:
                            total = channels[j]
                        elif total is None:
                            total = builder.fmul(ir.Constant(VECTOR, [a] * LANES), channels[j])
                        elif abs(a) == 1:
                            total = (builder.fadd if a == 1 else builder.fsub)(total, channels[j])
                        else:
                            total = builder.call(fma, [ir.Constant(VECTOR, [a] * LANES), channels[j], total])
                    results.append(total)
                for i, total in enumerate(results):
                    place = run(target, i, y_step, c)
                    builder.store(builder.fadd(builder.load(place, align=4), total) if add else total, place, align=4)
            return context.get_dummy_value()

        return types.void(*arguments), code

    return apply


def _transpose(context, x, x_at, x_step, y, y_at, y_step):
    """The function (x, x_at, x_step, y, y_at, y_step): y[j,i] = x[i,j] for LANES x LANES numbers, in registers.

    Row i of x starts at x_at + i x_step of a flat array, row j of y at y_at + j y_step. Nothing is checked.
    """
    arguments = (x, x_at, x_step, y, y_at, y_step)

    def code(context, builder, signature, values):
        def rows(i: int) -> list[ir.Value]:
            data = context.make_array(signature.args[i])(context, builder, values[i]).data
            at, step = (context.cast(builder, values[j], signature.args[j], types.int64) for j in (i + 1, i + 2))
            base = builder.gep(builder.bitcast(data, FLOAT.as_pointer()), [at])
            starts = [builder.gep(base, [builder.mul(ir.Constant(INT, row), step)]) for row in range(LANES)]
            return [builder.bitcast(start, VECTOR.as_pointer()) for start in starts]

        v = [builder.load(row, align=4) for row in rows(0)]
        half = LANES // 2
        while half:  # blocks of half x half off the diagonal change places, then those within each block
            stay = [lane if not lane & half else lane - half + LANES for lane in range(LANES)]
            move = [lane + half if not lane & half else lane + LANES for lane in range(LANES)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes) for lanes in (stay, move)]
            for i in range(LANES):
                if not i & half:
                    v[i], v[i + half] = (builder.shuffle_vector(v[i], v[i + half], mask) for mask in masks)
            half //= 2
        for row, value in zip(rows(3), v, strict=True):
            builder.store(value, row, align=4)
        return context.get_dummy_value()

    return types.void(*arguments), code


transpose: Any = intrinsic(_transpose)

copy = linear(np.eye(1))
"""y = x, whole vectors of it."""


@subroutine
def copy_run(x, x_at, y, y_at, count):
    """y[y_at:] = x[x_at:], any `count` of numbers. numba's own loops and slices take two to five times as long."""
    whole_vectors = count // LANES * LANES
    copy(x, x_at, 0, y, y_at, 0, whole_vectors)
    for i in range(whole_vectors, count):
        y[y_at + i] = x[x_at + i]
