"""A matrix product for numba code: one register tile of it in LLVM's own words, and loops around that.

A BLAS copies both operands into an order of its own before it multiplies, and starts threads of its own. Our kernels can
write their operands in the right order to begin with, and are threads already. What is left of a matrix product is its
innermost part: ROWS x COLS sums that stay in registers while k runs,

    sum[i,j] += a[i,k] * b[k,j]        one number of a for a whole vector of b

which numba cannot say, so `_tile` says it to LLVM. See docs/winograd.md for what it is fed.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

from kernels.cpu.compiler import subroutine
from kernels.device import Array


def _has(feature: str) -> bool:
    """Whether numba's code may use it: of this processor, or of the one that NUMBA_CPU_FEATURES describes in its place."""
    named = getattr(config, "CPU_FEATURES", None)
    if named is not None:
        return f"+{feature}" in named.split(",")
    return bool(llvmlite.binding.get_host_cpu_features().get(feature))


LANES = 16 if _has("avx512f") else 8 if _has("avx") else 4
ROWS, VECTORS = 6, 2 if LANES == 8 else 4  # 6 x 4 sums fill 32 registers, 6 x 2 fill AVX's 16
COLS = VECTORS * LANES
"""The columns of a panel."""
DEPTH = 64
"""Rows of a panel whose products are summed before they are added to c. Where a is read across its rows, they stay in the
first-level cache while all of a passes by; where it is read along them, they come from the second-level cache each time."""
SOON = 8
"""Rows of a panel that are then asked for ahead."""


@subroutine
def whole(n, step):
    """n, rounded up to a multiple of `step`."""
    return (n + step - 1) // step * step


def _flattened(context, x):
    """x.reshape(-1) of a contiguous array, for which numba would compile ten times as much."""

    def code(context, builder, signature, values):
        given = context.make_array(signature.args[0])(context, builder, values[0])
        made = context.make_array(signature.return_type)(context, builder)
        made.meminfo, made.parent, made.data = given.meminfo, given.parent, given.data
        made.nitems, made.itemsize = given.nitems, given.itemsize
        made.shape, made.strides = (cgutils.pack_array(builder, [n]) for n in (given.nitems, given.itemsize))
        return impl_ret_borrowed(context, builder, signature.return_type, made._getvalue())

    return x.copy(ndim=1)(x), code


flattened: Any = intrinsic(_flattened)


def panels(b: Array) -> Array:
    """b [...,k,n] -> its panels of COLS columns one after the other, [...,n/COLS,k,COLS], the last filled with zeros."""
    *batch, k, n = b.shape
    padded = np.zeros((*batch, k, whole(n, COLS)), np.float32)
    padded[..., :n] = b
    return np.ascontiguousarray(np.moveaxis(padded.reshape(*batch, k, -1, COLS), -2, -3))


FLOAT, INT = ir.FloatType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
BYTES = ir.IntType(8).as_pointer()
BROADCAST = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
NUMBERS = ("a_at", "a_row", "a_outer", "a_inner", "outer", "inner", "b_at", "b_k", "ahead", "c_at", "c_row")
ARGUMENTS = ("a", *NUMBERS[:6], "b", *NUMBERS[6:9], "c", *NUMBERS[9:], "add")


def _tile(vectors: int) -> Any:
    """ROWS rows and so many vectors of columns of `multiply`."""

    @intrinsic
    def tile(context, a, a_at, a_row, a_outer, a_inner, outer, inner, b, b_at, b_k, ahead, c, c_at, c_row, add):
        arguments = (a, a_at, a_row, a_outer, a_inner, outer, inner, b, b_at, b_k, ahead, c, c_at, c_row, add)

        def code(context, builder, signature, values):
            kinds = dict(zip(ARGUMENTS, signature.args, strict=True))
            given = dict(zip(ARGUMENTS, values, strict=True))
            number = {name: context.cast(builder, given[name], kinds[name], types.int64) for name in NUMBERS}

            def pointer(name: str) -> ir.Value:
                data = context.make_array(kinds[name])(context, builder, given[name]).data
                return builder.gep(builder.bitcast(data, FLOAT.as_pointer()), [number[name + "_at"]])

            def vector(start: ir.Value, distance: Any) -> ir.Value:
                distance = ir.Constant(INT, distance) if isinstance(distance, int) else distance
                return builder.bitcast(builder.gep(start, [distance]), VECTOR.as_pointer())

            def phi(kind: ir.Type, value: ir.Value, block: ir.Block) -> ir.Value:
                made = builder.phi(kind)
                made.add_incoming(value, block)
                return made

            a, b, c = pointer("a"), pointer("b"), pointer("c")
            fma = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
            )
            prefetch = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [BYTES] + [ir.IntType(32)] * 3), "llvm.prefetch.p0i8"
            )
            zero, one, nothing = ir.Constant(INT, 0), ir.Constant(INT, 1), ir.Constant(VECTOR, [0.0] * LANES)
            before, around, within, after, done = (
                builder.block, *(builder.append_basic_block(name) for name in ("around", "within", "after", "done")),
            )  # fmt: skip
            builder.branch(around)

            builder.position_at_end(around)  # for o in range(outer)
            o, a_o, b_o = phi(INT, zero, before), phi(a.type, a, before), phi(b.type, b, before)
            sums_o = [phi(VECTOR, nothing, before) for _ in range(ROWS * vectors)]
            rows = [builder.gep(a_o, [builder.mul(ir.Constant(INT, i), number["a_row"])]) for i in range(ROWS)]
            builder.branch(within)

            builder.position_at_end(within)  # for s in range(inner)
            s, a_s, b_s = phi(INT, zero, around), phi(INT, zero, around), phi(b.type, b_o, around)
            sums = [phi(VECTOR, value, around) for value in sums_o]
            soon = builder.gep(b_s, [builder.sub(number["ahead"], number["b_at"])])
            builder.call(prefetch, [builder.bitcast(soon, BYTES), *(ir.Constant(ir.IntType(32), i) for i in (0, 2, 1))])
            columns = [builder.load(vector(b_s, v * LANES), align=4) for v in range(vectors)]
            totals = []
            for i, row in enumerate(rows):
                single = builder.insert_element(
                    nothing, builder.load(builder.gep(row, [a_s])), ir.Constant(ir.IntType(32), 0)
                )
                broadcast = builder.shuffle_vector(single, nothing, BROADCAST)
                totals += [
                    builder.call(fma, [broadcast, column, sums[i * vectors + v]]) for v, column in enumerate(columns)
                ]
            s_next, b_next = builder.add(s, one), builder.gep(b_s, [number["b_k"]])
            steps = [
                (s, s_next),
                (a_s, builder.add(a_s, number["a_inner"])),
                (b_s, b_next),
                *zip(sums, totals, strict=True),
            ]
            for value, following in steps:
                value.add_incoming(following, within)
            builder.cbranch(builder.icmp_signed("<", s_next, number["inner"]), within, after)

            builder.position_at_end(after)
            o_next = builder.add(o, one)
            steps = [
                (o, o_next),
                (a_o, builder.gep(a_o, [number["a_outer"]])),
                (b_o, b_next),
                *zip(sums_o, totals, strict=True),
            ]
            for value, following in steps:
                value.add_incoming(following, after)
            builder.cbranch(builder.icmp_signed("<", o_next, number["outer"]), around, done)

            builder.position_at_end(done)
            flag = builder.icmp_signed("!=", context.cast(builder, given["add"], kinds["add"], types.int64), zero)
            places = [
                vector(c, builder.add(builder.mul(ir.Constant(INT, i), number["c_row"]), ir.Constant(INT, v * LANES)))
                for i in range(ROWS)
                for v in range(vectors)
            ]
            with builder.if_else(flag) as (adding, setting):
                with adding:
                    for place, total in zip(places, totals, strict=True):
                        builder.store(builder.fadd(builder.load(place, align=4), total), place, align=4)
                with setting:
                    for place, total in zip(places, totals, strict=True):
                        builder.store(total, place, align=4)
            return context.get_dummy_value()

        return types.void(*arguments), code

    return tile


_tile4, _tile2, _tile1 = _tile(4), _tile(2), _tile(1)


@subroutine
def multiply(
    m, n, outer, inner, a, a_at, a_row, a_outer, a_inner, b, b_at, b_panel, b_k, c, c_at, c_row, add
):  # fmt: skip
    """c = a b, or c += a b where `add`; a [m,k], b [k,n], with k = outer * inner steps taken one after the other.

    The arrays are flat, and any number of axes can be read as a matrix:
        a[i,(o,s)]  a_at + i a_row + o a_outer + s a_inner
        b[k,j]      b_at + (j // COLS) b_panel + k b_k + j % COLS
        c[i,j]      c_at + i c_row + j
    Nothing is checked. Whole tiles are computed: a must be readable and c writeable up to a multiple of ROWS rows, b and c
    up to a multiple of LANES columns.
    """
    depth = inner if outer > 1 else DEPTH
    run = inner if a_inner == 1 else depth  # a row of a that lies in one piece is read from end to end
    for panel in range((n + COLS - 1) // COLS):
        vectors = min(VECTORS, (n - panel * COLS + LANES - 1) // LANES)
        for first in range(0, inner, run):
            for i in range(0, m, ROWS):
                for k in range(first, min(first + run, inner), depth):
                    steps, b_k_at, more = min(depth, inner - k), b_at + panel * b_panel + k * b_k, add or k > 0
                    a_i, c_i, done = a_at + i * a_row + k * a_inner, c_at + i * c_row + panel * COLS, 0
                    next_piece = b_k_at + depth * b_k + i // ROWS % VECTORS * LANES
                    ahead = b_k_at + SOON * b_k if run > depth else next_piece
                    if vectors == 4:
                        _tile4(
                            a, a_i, a_row, a_outer, a_inner, outer, steps, b, b_k_at, b_k, ahead, c, c_i, c_row, more
                        )  # fmt: skip
                        continue
                    if vectors >= 2:
                        _tile2(
                            a, a_i, a_row, a_outer, a_inner, outer, steps, b, b_k_at, b_k, ahead, c, c_i, c_row, more
                        )  # fmt: skip
                        done = 2 * LANES
                    if vectors % 2:
                        _tile1(
                            a, a_i, a_row, a_outer, a_inner, outer, steps, b, b_k_at + done, b_k, ahead, c, c_i + done, c_row, more
                        )  # fmt: skip
