"""Arrays that note what is done with them, so that a step can be done again without its Python (kernels/cpu/recording.py).

While a thread takes notes, its compiled loops are noted by `share` (kernels/cpu/threads.py), and NumPy's operations here: arrays
are `Noted`, and NumPy hands every operation on such an array to it. What is noted is also done, in the usual way.

Arrays are noted as places: which memory, and where in it. A note does not keep memory alive, so a step that is noted takes no
more of it than usual.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
LOOKS = (
    "item", "tolist", "tobytes", "__float__", "__int__", "__bool__", "__index__", "__contains__", "__str__", "__repr__", "__format__",
)  # fmt: skip
"""Ways to look at a value, on which what Python does next could depend."""
METHODS = (
    "astype", "clip", "copy", "dot", "fill", "flatten", "partition", "put", "ravel", "repeat", "reshape", "round", "sort", "take",
)  # fmt: skip
"""Those that NumPy does not hand to an array's class by itself, and that copy or write."""


class Memory:
    """Memory that arrays lie in. Places in it are known by it, whoever lives there later."""

    def __init__(self, owner: np.ndarray, forget: Callable[[Any], Any] | None = None) -> None:
        self.address, self.size = owner.ctypes.data, owner.nbytes
        self.owner = weakref.ref(owner, forget)

    def held(self) -> np.ndarray:
        """Its bytes, where they are. Whoever wants to use them has to keep the owner."""
        there: Any = (ctypes.c_uint8 * self.size).from_address(self.address)
        return np.frombuffer(there, np.uint8)


class Place:
    """A part of some memory, as an array is one."""

    def __init__(self, memory: Memory, array: np.ndarray) -> None:
        self.memory, self.offset = memory, array.ctypes.data - memory.address
        self.shape, self.strides, self.dtype = array.shape, array.strides, array.dtype

    def on(self, base: np.ndarray) -> np.ndarray:
        """The same part of other memory, given as bytes."""
        return np.ndarray(self.shape, self.dtype, base, self.offset, self.strides)


class Step:
    """What all threads of a step that is noted have in common."""

    def __init__(self) -> None:
        self.known: dict[int, Memory] = {}  # by the id of its owner
        self.foreign: list[np.ndarray] = []  # owners of memory that was not made by what is noted
        self.kept: list[np.ndarray] = []  # what has to stay where it is
        self.why_not = ""  # why this cannot be done again


class Notes:
    """What has been done in one thread, in order: functions and their arguments, in which arrays are places."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.done: list[Any] = []  # (function, args, settings), or a list of notes taken side by side

    def made(self, array: np.ndarray) -> None:
        """An array, which owns its memory, is new."""
        key = id(array)
        self.step.known[key] = Memory(array, lambda _: self.step.known.pop(key, None))

    def keep(self, *arrays: np.ndarray) -> None:
        """These arrays have to stay where they are: their addresses are known, or nobody else has them."""
        self.step.kept.extend(arrays)

    def note(self, function: Callable[..., Any], *args: Any, **settings: Any) -> None:
        """This has been done."""
        self.done.append((function, self.placed(args), self.placed(settings)))

    def placed(self, value: Any) -> Any:
        """Arrays as places, also inside tuples, lists and dicts."""
        if isinstance(value, np.ndarray):
            value = plain(value)
            owner = owner_of(value)
            if id(owner) not in self.step.known:
                self.step.known[id(owner)] = Memory(owner)
                self.step.foreign.append(owner)
            return Place(self.step.known[id(owner)], value)
        if isinstance(value, tuple | list):
            parts = [self.placed(part) for part in value]
            if all(new is old for new, old in zip(parts, value, strict=True)):
                return value
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if isinstance(value, dict):
            return {key: self.placed(part) for key, part in value.items()}
        return value

    def fork(self, count: int) -> list[Notes]:
        """Notes for so many threads that do something side by side now."""
        lanes = [Notes(self.step) for _ in range(count)]
        self.done.append(lanes)
        return lanes

    def refuse(self, why: str) -> None:
        """This step cannot be done again from notes: something in it is not in them."""
        self.step.why_not = self.step.why_not or why


class _Here(threading.local):
    notes: Notes | None = None


here = _Here()
"""The notes that this thread takes, if it does."""


@contextlib.contextmanager
def noting(notes: Notes | None) -> Iterator[None]:
    """Within this context this thread takes these notes; with None, none."""
    before, here.notes = here.notes, notes
    try:
        yield
    finally:
        here.notes = before


def owner_of(array: np.ndarray) -> np.ndarray:
    """The array whose memory it is."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class Noted(np.ndarray):
    """An array whose operations are noted where notes are taken; else like any other."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: tuple = (), **settings: Any) -> Any:
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if not out:
            return _fresh(function, plain(inputs), plain(settings), takes_out=method != "at" and ufunc.nout == 1)
        settings = {**plain(settings), "out": plain(out if len(out) > 1 else out[0])}
        _do(function, plain(inputs), settings)
        return out[0]

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        out = settings.get("out")
        if out is None:
            return _fresh(function, plain(args), plain(settings))
        _do(function, plain(args), plain(settings))
        return out

    def __getitem__(self, key: Any) -> Any:
        return _fresh(np.ndarray.__getitem__, (plain(self), plain(key)), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        own, key, value = plain(self), plain(key), plain(value)
        part = own[key]
        if isinstance(part, np.ndarray) and np.may_share_memory(part, own):
            _do(np.copyto, (part, value), {"casting": "unsafe"})
        elif isinstance(part, np.ndarray) or here.notes is None:
            _do(np.ndarray.__setitem__, (own, key, value), {})
        else:  # one number
            _do(np.copyto, (own[(*key, None) if isinstance(key, tuple) else (key, None)], value), {"casting": "unsafe"})


def _method(name: str) -> Callable[..., Any]:
    def call(self: Noted, *args: Any, **settings: Any) -> Any:
        return _fresh(getattr(np.ndarray, name), (plain(self), *plain(args)), plain(settings))

    return call


def _look(name: str) -> Callable[..., Any]:
    def call(self: Noted, *args: Any) -> Any:
        if here.notes is not None:
            here.notes.refuse(f"it looks at a value ({name})")
        return getattr(plain(self), name)(*args)

    return call


for _name in METHODS:
    setattr(Noted, _name, _method(_name))
for _name in LOOKS:
    setattr(Noted, _name, _look(_name))


def plain(value: Any) -> Any:
    """Noted arrays as NumPy's own, also inside lists, tuples and dicts."""
    if isinstance(value, Noted):
        return np.ndarray.view(value, np.ndarray)
    if type(value) is list or type(value) is tuple:
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {key: plain(part) for key, part in value.items()}
    return value


def _do(function: Callable[..., Any], args: tuple, settings: dict[str, Any]) -> None:
    """What writes to arrays that are there."""
    function(*args, **settings)
    if here.notes is not None:
        here.notes.note(function, *args, **settings)


def _fresh(function: Callable[..., Any], args: tuple, settings: dict[str, Any], takes_out: bool = False) -> Any:
    """What a function gives: a part of what it was given, or new arrays, which are made anew when it is done again."""
    result = function(*args, **settings)
    notes = here.notes
    if notes is None:
        return result
    if result is None:  # it wrote to what it was given
        notes.note(function, *args, **settings)
        return None
    if isinstance(result, list | tuple):
        parts = [np.asarray(part) for part in result]
        if any(_own(part, args) for part in parts):
            for part in parts:
                notes.made(owner_of(part))
            notes.note(_copied, function, parts, args, settings)
        return type(result)(part.view(Noted) for part in parts)
    if not isinstance(result, np.ndarray | np.generic):
        if type(result) is bool and function not in (np.may_share_memory, np.shares_memory, np.can_cast):
            notes.refuse(f"it looks at a value ({function.__name__})")
        return result
    array = np.asarray(result)
    if _own(array, args):
        if array.base is not None:  # of what NumPy made for itself
            array = array.copy(order="K")
        notes.made(array)
        if function is np.empty_like:
            pass  # it holds noise
        elif function is np.ndarray.copy:
            notes.note(np.copyto, array, args[0])
        elif takes_out:
            notes.note(function, *args, **{**settings, "out": array})
        else:
            notes.note(_copied, function, [array], args, settings)
    return array.view(Noted)


def _copied(function: Callable[..., Any], parts: list[np.ndarray], args: tuple, settings: dict[str, Any]) -> None:
    """Do it again, into the arrays that it gave."""
    found = function(*args, **settings)
    for part, new in zip(parts, found if isinstance(found, list | tuple) else [found], strict=True):
        np.copyto(part, new)


def _own(array: np.ndarray, args: Any) -> bool:
    """Whether it is no part of what a function was given."""
    return not any(np.may_share_memory(array, x) for x in leaves(args, np.ndarray))


def leaves(value: Any, kind: type[T]) -> Iterator[T]:
    """All of one kind, also inside tuples, lists and dicts."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part, kind)
    elif isinstance(value, dict):
        yield from leaves(list(value.values()), kind)


def operation(function: Callable[..., np.ndarray]) -> Callable[..., Any]:
    """A function that looks at values, as one operation: done again as a whole. It gives a new array."""

    def aside(*args: Any) -> np.ndarray:
        with noting(None):
            return function(*args)

    return functools.wraps(function)(lambda *args: _fresh(aside, plain(args), {}))
