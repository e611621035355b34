"""A stand-in for CuPy that computes with NumPy and refuses what CuPy refuses, so that the code for `cuda` runs anywhere.

    no name or keyword that the installed CuPy lacks          sums and elements are arrays of no axes, not numbers
    no NumPy array among the operands, no quiet way to NumPy   flags, addresses and strides are told by CuPy itself

It is a little stricter than CuPy, which lets NumPy's functions be called on its arrays.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any
from unittest import mock

import cupy
import numpy as np

from tests.cupy_calls import find, signature

UPLOADS = {"array", "asarray"}  # the functions that take NumPy's arrays


class Count:
    """How often the host has waited for a value on the device."""

    waits = 0


count = Count()


class Library:
    """`cupy`, or a module of it."""

    def __init__(self, path: str = "") -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}.{name}".lstrip(".")
        real = find(path)
        if inspect.ismodule(real):
            return Library(path)
        if path == "cuda.alloc_pinned_memory":
            return bytearray
        if path.startswith("cuda."):
            return _idle(real)
        ours = operator.attrgetter(path)(np)
        if isinstance(real, type) or not callable(real):
            return ours  # dtypes are NumPy's own
        return _checked(real, ours, upload=path in UPLOADS)


class Array:
    """`cupy.ndarray`; `host` holds what a GPU would."""

    __slots__ = ("host", "__weakref__")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: Any) -> None:
        self.host = np.asarray(host)

    def __getattr__(self, name: str) -> Any:
        find(f"ndarray.{name}")
        if name in ("flags", "data", "strides"):
            return getattr(_seen_by_cupy(self.host), name)
        if name in ("get", "set"):
            return _checked(find(f"ndarray.{name}"), getattr(self, f"_{name}"), self, method=True)
        if name == "device":
            return cupy.cuda.Device
        value = getattr(self.host, name)
        count.waits += name in ("item", "tolist")
        if callable(value):
            return _checked(find(f"ndarray.{name}"), getattr(np.ndarray, name), self)
        return _wrap(value)

    def _get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        count.waits += blocking
        if out is None:
            return self.host.copy()
        out[...] = self.host
        return out

    def _set(self, arr: np.ndarray, stream: Any = None) -> None:
        self.host[...] = arr

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("CuPy refuses to become a NumPy array unasked; use .get()")

    def __getitem__(self, index: Any) -> Any:
        return _wrap(self.host[_unwrap(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host[_unwrap(index)] = _unwrap(value)

    def __iter__(self) -> Any:
        return map(Array, self.host)

    def __len__(self) -> int:
        return len(self.host)

    def __bool__(self) -> bool:
        count.waits += 1
        return bool(self.host)

    def __int__(self) -> int:
        count.waits += 1
        return int(self.host)

    def __float__(self) -> float:
        count.waits += 1
        return float(self.host)


def _operator(name: str) -> Callable:
    def apply(self: Array, *others: Any) -> Any:
        result = getattr(self.host, name)(*_unwrap(others))
        return self if result is self.host else _wrap(result)

    return apply


BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift"]
COMPARED = ["lt", "le", "eq", "ne", "gt", "ge", "neg", "pos", "abs", "invert"]
for _name in [*COMPARED, *(prefix + name for name in BINARY for prefix in ("", "r", "i"))]:
    if hasattr(cupy.ndarray, f"__{_name}__"):
        setattr(Array, f"__{_name}__", _operator(f"__{_name}__"))


def _checked(
    real: Callable, ours: Callable, *first: Any, upload: bool = False, method: bool = False
) -> Callable:  # method: of the stand-in itself, which is not to be unwrapped
    def call(*arguments: Any, **keywords: Any) -> Any:
        try:
            signature(real).bind(*first, *arguments, **keywords)
        except TypeError as error:
            raise TypeError(f"CuPy's {real.__name__}: {error}") from None
        if method:
            return ours(*arguments, **keywords)
        given = _unwrap((*first, *arguments), upload)
        return _wrap(ours(*given, **_unwrap(keywords, upload)))

    return call


def _idle(real: Any) -> Callable:
    """A class or function of `cupy.cuda`: looks at its arguments, and makes something with the right names that does nothing."""

    def call(*arguments: Any, **keywords: Any) -> Any:
        signature(real).bind(*arguments, **keywords)
        made = mock.create_autospec(real, instance=True) if isinstance(real, type) else mock.MagicMock()
        if hasattr(real, "__enter__") or not isinstance(real, type):
            made.__enter__.return_value = made
        return made

    return call


def _seen_by_cupy(host: np.ndarray) -> Any:
    """A real CuPy array that takes the host's memory for a GPU's. It may be looked at, never computed with."""
    memory = cupy.cuda.UnownedMemory(host.ctypes.data, max(host.nbytes, 1), host, 0)
    return cupy.ndarray(host.shape, host.dtype, cupy.cuda.MemoryPointer(memory, 0), host.strides)


def _unwrap(value: Any, upload: bool = False) -> Any:
    if isinstance(value, Array):
        return value.host
    if isinstance(value, np.ndarray):
        if not upload:
            raise TypeError("CuPy was given a NumPy array; bring it over with asarray")
        return value.copy()
    if isinstance(value, tuple | list):
        return type(value)(_unwrap(v, upload) for v in value)
    return {k: _unwrap(v, upload) for k, v in value.items()} if isinstance(value, dict) else value


def _wrap(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return Array(value)
    return type(value)(map(_wrap, value)) if isinstance(value, tuple | list) else value
