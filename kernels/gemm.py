"""BLAS's matrix product for numba code, on parts of larger arrays, without copies.

numba's own np.dot takes whole contiguous matrices only and cannot add to its result. Here SciPy's sgemm is called by
address: it reads a matrix whose rows lie `lda` elements apart, and adds to the result where `beta` is 1.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

# By name, not by address, so that compiled code can be kept on disk.
SYMBOL = "palindrome_sgemm"
llvmlite.binding.add_symbol(SYMBOL, get_cython_function_address("scipy.linalg.cython_blas", "sgemm"))


def _gemm(context, transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc):
    """c = op(a) @ op(b) + beta * c in float32, op(a) [m,k], op(b) [k,n], c [m,n], rows lda, ldb, ldc elements apart.

    a, b, c are float32 arrays of any number of axes, of which the first element and the given distances count.
    Nothing is checked. The flags `transpose_a` and `transpose_b` are 0 or 1.
    """
    if not all(isinstance(x, types.Array) and x.dtype == types.float32 for x in (a, b, c)):
        raise TypeError(f"gemm: wanted float32 arrays, got {a}, {b}, {c}")
    signature = types.void(transpose_a, transpose_b, m, n, k, a, lda, b, ldb, beta, c, ldc)

    def code(context, builder, signature, arguments):
        types_of = dict(zip(NAMES, signature.args, strict=True))
        values = dict(zip(NAMES, arguments, strict=True))

        def number(name: str, as_type: types.Type) -> ir.Value:
            return cgutils.alloca_once_value(builder, context.cast(builder, values[name], types_of[name], as_type))

        def letter(name: str) -> ir.Value:
            flag = context.cast(builder, values[name], types_of[name], types.int32)
            is_set = builder.icmp_signed("!=", flag, ir.Constant(INT, 0))
            return cgutils.alloca_once_value(
                builder, builder.select(is_set, ir.Constant(CHAR, ord("T")), ir.Constant(CHAR, ord("N")))
            )

        def first(name: str) -> ir.Value:
            array = context.make_array(types_of[name])(context, builder, values[name])
            return builder.bitcast(array.data, CHAR.as_pointer())

        def integer(name: str) -> ir.Value:
            return number(name, types.int32)

        one = cgutils.alloca_once_value(builder, ir.Constant(FLOAT, 1.0))
        # BLAS counts columns first: a row-major product is the product of the transposes in reverse order.
        call = [
            letter("transpose_b"), letter("transpose_a"), integer("n"), integer("m"), integer("k"), one,
            first("b"), integer("ldb"), first("a"), integer("lda"), number("beta", types.float32),
            first("c"), integer("ldc"),
        ]  # fmt: skip
        pointers = [builder.bitcast(p, CHAR.as_pointer()) for p in call]
        function_type = ir.FunctionType(ir.VoidType(), [CHAR.as_pointer()] * 13)
        builder.call(cgutils.get_or_insert_function(builder.module, function_type, SYMBOL), pointers)
        return context.get_dummy_value()

    return signature, code


NAMES = ("transpose_a", "transpose_b", "m", "n", "k", "a", "lda", "b", "ldb", "beta", "c", "ldc")
CHAR, INT, FLOAT = ir.IntType(8), ir.IntType(32), ir.FloatType()

gemm: Any = intrinsic(_gemm)
