"""Reads and writes of a kernel in Triton's interpreter, counted for each element of each array."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np


class Traffic:
    """How often each element was read and written; `programs` has the program that wrote it last, -1 if none did."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self.arrays = arrays
        self.reads = [np.zeros(a.size, int) for a in arrays]
        self.writes = [np.zeros(a.size, int) for a in arrays]
        self.programs = [np.full(a.size, -1) for a in arrays]
        self.masked = 0  # lanes that asked for nothing

    def note(self, pointers: Any, mask: Any, kind: str, program: int) -> None:
        inside = np.broadcast_to(mask.data, pointers.data.shape).astype(bool).ravel()
        self.masked += int((~inside).sum()) if kind == "reads" else 0
        addresses = pointers.data.ravel()[inside].astype(np.int64)
        for k, array in enumerate(self.arrays):
            places = (addresses - array.ctypes.data) // array.itemsize
            places = places[(places >= 0) & (places < array.size)]
            np.add.at(getattr(self, kind)[k], places, 1)
            if kind == "writes":
                self.programs[k][places] = program


@contextlib.contextmanager
def traced(*arrays: np.ndarray) -> Iterator[Traffic]:
    """Within this context, what launches in the interpreter do to `arrays` is counted."""
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle  # noqa: F401

    traffic = Traffic(*arrays)
    load, store = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store

    def counted_load(self: Any, ptrs: Any, mask: Any, *rest: Any, **more: Any) -> Any:
        traffic.note(ptrs, mask, "reads", self.grid_idx[0])
        return load(self, ptrs, mask, *rest, **more)

    def counted_store(self: Any, ptrs: Any, value: Any, mask: Any, *rest: Any, **more: Any) -> Any:
        traffic.note(ptrs, mask, "writes", self.grid_idx[0])
        return store(self, ptrs, value, mask, *rest, **more)

    with patch.multiple(InterpreterBuilder, create_masked_load=counted_load, create_masked_store=counted_store):
        yield traffic
