"""Triton kernels run by Triton's interpreter on NumPy arrays, beside the compiler and in the same process.

Triton decides between its compiler and its interpreter once, by an environment variable read while the kernels are
decorated. Here `@triton.jit` always makes compiled kernels, and the interpreted twin is made on demand: the kernel's
source is rewritten as Triton's interpreter does it, with globals in which every other `@triton.jit` function is replaced
by its own twin. While a kernel runs, Triton's language (`tl.load`, `tl.sum`, ...) is patched, and restored after.

Uses internals of Triton: `FunctionRewriter`, `_patch_lang`, `_implicit_cvt`, `interpreter_builder`, and the five functions
of `_remembered` (same in 3.6 to 3.9).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import triton.language as tl
from triton.language.semantic import TritonSemantic as Semantic
from triton.runtime import interpreter as triton_interpreter
from triton.runtime.jit import JITFunction

from kernels.gpu.together import run_together

Program = tuple[int, int, int]

JIT = (JITFunction, triton_interpreter.InterpretedFunction)  # the second where TRITON_INTERPRET is set all the same


def run(
    kernel: Any, programs: Iterable[Program], grid: Program, arguments: Sequence[Any], options: dict,
    cooperative: bool = False,
) -> None:  # fmt: skip
    """Run `kernel` once for each of `programs`, one after the other, or in turns, in a grid of that size."""
    function = _interpreted(kernel)
    named = inspect.getcallargs(function, *arguments, **options)
    values = {n: v if n in _constexprs(kernel) else triton_interpreter._implicit_cvt(v) for n, v in named.items()}

    def body(program: Program) -> None:
        with np.errstate(all="ignore"):  # lanes that are masked away may overflow, as on a GPU
            function(**values)

    with _language_patched():
        builder.set_grid_dim(*grid)
        if cooperative:
            return run_together(programs, body, lambda program: builder.set_grid_idx(*program))
        for program in programs:
            builder.set_grid_idx(*program)
            body(program)


@functools.cache
def _constexprs(kernel: Any) -> frozenset[str]:
    parameters = inspect.signature(kernel.fn).parameters
    return frozenset(n for n, p in parameters.items() if "constexpr" in str(p.annotation))


_functions: dict[Callable, Callable] = {}
_modules: dict[int, dict[str, Any]] = {}


def _interpreted(kernel: Any) -> Callable:
    """The interpreted twin of a `@triton.jit` function: a plain Python function, made once."""
    source = kernel.fn
    module = _interpreted_globals(source.__globals__)
    if source not in _functions:
        moved = types.FunctionType(source.__code__, module, source.__name__, source.__defaults__, source.__closure__)
        moved.__annotations__ = source.__annotations__
        twin = triton_interpreter.FunctionRewriter(moved).rewrite_ast()
        twin.fn = twin  # as tl.reduce expects of a combine function
        _functions[source] = twin
    return _functions[source]


def _interpreted_globals(module: dict[str, Any]) -> dict[str, Any]:
    """A copy of a module's globals in which twins stand for the `@triton.jit` functions."""
    if id(module) not in _modules:
        copy = _modules[id(module)] = dict(module)  # registered first: functions of a module call each other
        copy.update({name: _interpreted(value) for name, value in module.items() if isinstance(value, JIT)})
    return _modules[id(module)]


@contextlib.contextmanager
def _language_patched() -> Iterator[None]:
    patches = _language_patches()
    for owner, name, patched, _ in patches:
        setattr(owner, name, patched)
    try:
        yield
    finally:
        for owner, name, _, original in patches:
            if original is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


_MISSING = object()


@functools.cache
def _language_patches() -> list[tuple[Any, str, Any, Any]]:
    """What running interpreted changes in Triton's language: (owner, name, patched, original).

    Triton finds its patches by searching all of the language, which takes longer than a small kernel: done once here.
    """
    owners = [tl, tl.core, tl.math, tl.standard, tl.random, tl.tensor, tl.condition, tl.dtype]
    owners.append(tl.core.tensor_descriptor_base)
    before = [dict(vars(owner)) for owner in owners]
    scope = triton_interpreter._patch_lang(types.SimpleNamespace(__globals__={"tl": tl, "core": tl.core}))
    changed = [(owner, name, original) for owner, name, original in dict.fromkeys(_changes(owners, before))]
    patches = [(owner, name, vars(owner)[name], original) for owner, name, original in changed]
    scope.restore()
    for owner, names in zip(owners, before, strict=True):
        patches += [(owner, n, _interpreted(v), v) for n, v in names.items() if isinstance(v, JIT)]
    patches.append((tl.tensor, "__index__", lambda tensor: tensor.handle.data.item(), vars(tl.tensor).get("__index__")))
    mended = {"cast_impl": _cast, "create_dot": _dot, "create_splat": _splat}
    patches += [(Builder, name, ours, vars(Builder)[name]) for name, ours in mended.items()]
    return patches + [(owner, name, ours, vars(owner)[name]) for owner, name, ours in _remembered()]


def _changes(owners: list[Any], before: list[dict[str, Any]]) -> Iterator[tuple[Any, str, Any]]:
    for owner, names in zip(owners, before, strict=True):
        for name, value in vars(owner).items():
            if names.get(name, _MISSING) is not value:
                yield owner, name, names.get(name, _MISSING)


# Most of the interpreter's time goes into describing blocks: a kernel computes with a few types and shapes, of which Triton
# makes new objects for every operation. Made once, they take a small kernel's time to 0.57 of itself.

_block_types: dict[tuple[str, tuple[int, ...]], tl.block_type] = {}
_shapes: dict[tuple[int, ...], tuple[Any, Any]] = {}


def _remembered() -> list[tuple[Any, str, Callable]]:
    """What is replaced by a twin that looks up what it has made before: (owner, name, twin)."""
    dtypes: dict[str, np.dtype] = {}
    make_dtype, make_tensor, broadcast = (
        triton_interpreter._get_np_dtype, tl.tensor.__init__, Semantic.broadcast_impl_value,
    )  # fmt: skip

    def np_dtype(type: Any) -> np.dtype:
        scalar = type.scalar
        if scalar.is_ptr():
            return make_dtype(type)
        return dtypes.get(scalar.name) or dtypes.setdefault(scalar.name, make_dtype(type))

    def tensor(self: Any, handle: Any, type: Any) -> None:
        shape = tuple(type.shape) if type.is_block() else ()
        if shape not in _shapes:
            make_tensor(self, handle, type)
            _shapes[shape] = self.shape, self.numel
        self.handle, self.type, self.dtype = handle, type, type.scalar
        self.shape, self.numel = _shapes[shape]

    def broadcast_both(self: Any, a: Any, b: Any) -> tuple[Any, Any]:
        shapes = [tuple(x.type.shape) if x.type.is_block() else () for x in (a, b)]
        if shapes[0] == shapes[1]:
            return a, b
        common = _common(*shapes)
        if common is None:
            return broadcast(self, a, b)

        def spread(x: Any, shape: tuple[int, ...]) -> Any:
            if shape == common:
                return x
            type = _block(x.type.scalar, common)
            build = self.builder
            handle = build.create_broadcast(x.handle, common) if shape else build.create_splat(type, x.handle)
            return tl.tensor(handle, type)

        return spread(a, shapes[0]), spread(b, shapes[1])

    return [
        (triton_interpreter, "_get_np_dtype", np_dtype),
        (tl.tensor, "__init__", tensor),
        (tl.block_type, "with_element_ty", lambda self, scalar: _block(scalar, tuple(self.shape))),
        (Semantic, "broadcast_impl_value", broadcast_both),
        (Semantic, "computation_type_impl", functools.cache(Semantic.computation_type_impl)),
    ]


def _block(scalar: Any, shape: tuple[int, ...]) -> tl.block_type:
    key = scalar.name, shape
    return _block_types.get(key) or _block_types.setdefault(key, tl.block_type(scalar, list(shape)))


@functools.cache
def _common(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that both are spread over; () is a scalar's. None where Triton must add axes, or refuse."""
    if not a or not b:
        return a or b
    fits = len(a) == len(b) and all(1 in pair or pair[0] == pair[1] for pair in zip(a, b, strict=True))
    return tuple(map(max, a, b)) if fits else None


# Triton's interpreter holds bf16 as 16-bit integers. It cuts digits off where a GPU rounds to nearest even, and it would
# multiply the integers in a matrix product. And it takes a comparison of two scalars for a float once it is spread over a
# block. All three are mended here. (So is reading a scalar as a loop's bound, which Triton 3.6 does in a way that NumPy 2.4
# refuses.)

# By default it also checks every addition of integers for overflow, which takes half of the time; the small shapes that can
# be interpreted at all do not come near.
builder = triton_interpreter.interpreter_builder
builder.options = dataclasses.replace(builder.options, sanitize_overflow=False)

Builder = triton_interpreter.InterpreterBuilder
Handle = triton_interpreter.TensorHandle
_triton_cast, _triton_dot, _triton_splat = Builder.cast_impl, Builder.create_dot, Builder.create_splat


def _cast(self: Any, source: Any, type: Any) -> Any:
    if source.dtype.scalar == tl.bfloat16 and type.scalar == tl.float32:
        return Handle((source.data.astype(np.uint32) << 16).view(np.float32), tl.float32)
    if source.dtype.scalar == tl.float32 and type.scalar == tl.bfloat16:
        bits = np.ascontiguousarray(source.data).view(np.uint32)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return Handle(np.where(np.isnan(source.data), 0x7FC0, rounded).astype(np.uint16), tl.bfloat16)
    return _triton_cast(self, source, type)


def _dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
    a, b = (_cast(self, x, tl.float32) if x.dtype.scalar == tl.bfloat16 else x for x in (a, b))
    return _triton_dot(self, a, b, *rest)


def _splat(self: Any, type: Any, value: Any) -> Any:
    if value.data.dtype == np.bool_:
        return Handle(np.full(type.shape, value.data), tl.int1)
    return _triton_splat(self, type, value)
