"""Operations of the array library in a graph on `interpret`, as a CUDA graph has them.

A CUDA graph records whatever reaches its stream, kernels of CuPy's among ours. On `interpret` arrays are NumPy's, whose
operations leave no trace. So inside `array_operations()` a captured step's arrays note what is done with them, among the
launches and in their order, and a replay does it again into the same memory. To look at a value is refused, as on a GPU.

What still cannot be noted is arithmetic on weights alone: its result is a constant, and a replay shows it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from kernels import device as devices
from kernels.cpu.noted import leaves
from kernels.gpu import launch as launching
from kernels.gpu.cuda_graph import Graph
from kernels.gpu.launch import hooks

REFUSED = ("item", "tolist", "tobytes", "__float__", "__int__", "__bool__", "__index__")


class Noted(np.ndarray):
    """An array whose operations are noted, as long as a graph is captured. What shares its memory is noted too."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: tuple = (), **settings: Any) -> Any:
        if out:
            settings["out"] = plain(out)
        return noted(getattr(ufunc, method), plain(inputs), plain(settings), out[0] if out else None)

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        return noted(function, plain(args), plain(settings), settings.get("out"))

    def __setitem__(self, key: Any, value: Any) -> None:
        own, key, value = plain(self), plain(key), plain(value)
        again(lambda: own.__setitem__(key, value))

    def __getitem__(self, key: Any) -> Any:
        return noted(lambda own, key: own[key], (plain(self), plain(key)), {})


def _method(name: str) -> Callable:
    """A method that may copy."""

    def call(self: Noted, *args: Any, **settings: Any) -> Any:
        return noted(getattr(np.ndarray, name), (plain(self), *plain(args)), plain(settings))

    return call


def _refused(name: str) -> Callable:
    """A method that looks at values, which takes the host a wait, and in a capture is an error."""

    def call(self: Noted, *args: Any) -> Any:
        if hooks.capture is not None:
            raise RuntimeError(f"the host looks at a value ({name}) while a graph is captured")
        return getattr(plain(self), name)(*args)

    return call


for _name in ("copy", "astype", "reshape", "ravel", "flatten", "dot", "fill", "transpose", "squeeze"):
    setattr(Noted, _name, _method(_name))
for _name in REFUSED:
    setattr(Noted, _name, _refused(_name))


def again(action: Callable[[], Any]) -> Any:
    """Do it; where a graph is captured not now, when arrays hold noise, but at every replay."""
    return action() if hooks.capture is None else hooks.capture.launches.append(action)


def noted(function: Callable, args: tuple, settings: dict[str, Any], out: Any = None) -> Any:
    """What `function` gives. While a graph is captured a replay writes it anew into the same memory, unless it is a view."""
    if out is not None:  # in place: on what others hold, such as running statistics
        again(lambda: function(*args, **settings))
        return out
    with np.errstate(all="ignore"):  # arrays hold noise
        result = function(*args, **settings)
    if isinstance(result, list | tuple):
        return type(result)(
            _result(part, functools.partial(lambda i: function(*args, **settings)[i], i), args)
            for i, part in enumerate(result)
        )
    return _result(result, lambda: function(*args, **settings), args)


def _result(result: Any, make: Callable[[], Any], args: tuple) -> Any:
    if not isinstance(result, np.ndarray | np.generic):
        return result
    array = np.asanyarray(result)
    views = any(np.may_share_memory(array, x) for x in leaves(args, np.ndarray))
    if not views and hooks.capture is not None:
        array = np.array(array)  # its own memory
        hooks.capture.launches.append(lambda: array.__setitem__(..., make()))
    return array.view(Noted)


def plain(value: Any) -> Any:
    """Noted arrays as NumPy's own, also inside lists, tuples and dicts."""
    if isinstance(value, Noted):
        return np.ndarray.view(value, np.ndarray)
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value


class Library:
    """NumPy as the product's `xp` while a graph is captured: what it makes is noted. The host's own NumPy stays as it is."""

    def __getattr__(self, name: str) -> Any:
        own = getattr(np, name)
        if isinstance(own, type) or not callable(own):
            return own
        return lambda *args, **settings: noted(own, plain(args), plain(settings))

    @staticmethod
    def empty(*args: Any, **settings: Any) -> Noted:
        return np.empty(*args, **settings).view(Noted)

    @staticmethod
    def zeros(*args: Any, **settings: Any) -> Noted:
        array = np.zeros(*args, **settings)
        again(lambda: array.fill(0))
        return array.view(Noted)

    @staticmethod
    def asarray(data: Any, dtype: Any = None) -> Any:
        if not isinstance(data, Noted):
            return np.asarray(data, dtype=dtype)
        return data if dtype is None or data.dtype == dtype else data.astype(dtype)


@contextlib.contextmanager
def array_operations() -> Iterator[None]:
    """Inside, graphs that are captured on `interpret` hold the array library's operations too."""
    capture_launches, fed, allocate, library = Graph._noted, Graph.fed, hooks.allocate, Library()

    def captured(self: Graph, function: Callable) -> Any:
        with (
            mock.patch.object(hooks, "allocate", lambda *wanted: np.ndarray.view(allocate(*wanted), Noted)),  # type: ignore[arg-type]
            mock.patch.object(devices, "np", library),  # what `Device.xp` and `xp_of` give
            mock.patch.object(launching, "np", library),
        ):
            return capture_launches(self, function)

    with (
        mock.patch.object(Graph, "_noted", captured),
        mock.patch.object(Graph, "fed", lambda self, make: fed(self, make).view(Noted)),
    ):
        yield
