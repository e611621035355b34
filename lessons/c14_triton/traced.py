"""Reads and writes of a kernel in Triton's interpreter, counted for each element of each array."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np


class Traffic:
    """How often each element was read and written; `programs` has the program that wrote it last, -1 if none did.

    `sectors` counts, launch by launch where somebody began a new number, the 32 bytes that memory hands out at least: a load of 64
    neighbours touches 8, one of 64 numbers far apart 64.
    """

    def __init__(self, *arrays: np.ndarray) -> None:
        self.arrays = arrays
        self.reads = [np.zeros(a.size, int) for a in arrays]
        self.writes = [np.zeros(a.size, int) for a in arrays]
        self.programs = [np.full(a.size, -1) for a in arrays]
        self.masked = 0  # lanes that asked for nothing
        self.sectors: list[int] = []
        self.stores: list[tuple[np.ndarray, tuple[int, ...]]] = []  # addresses, and the program that wrote there

    def note(self, pointers: Any, mask: Any, kind: str, program: tuple[int, ...]) -> None:
        inside = np.broadcast_to(mask.data, np.broadcast_shapes(mask.data.shape, pointers.data.shape)).astype(bool)
        self.masked += int((~inside).sum()) if kind == "reads" else 0
        addresses = np.broadcast_to(pointers.data, inside.shape).ravel()[inside.ravel()].astype(np.int64)
        if self.sectors:
            self.sectors[-1] += len(np.unique(addresses // 32))
        if kind == "writes":
            self.stores.append((addresses, program))
        for k, array in enumerate(self.arrays):
            places = (addresses - array.ctypes.data) // array.itemsize
            places = places[(places >= 0) & (places < array.size)]
            np.add.at(getattr(self, kind)[k], places, 1)
            if kind == "writes":
                self.programs[k][places] = program[0]

    def owner(self, y: np.ndarray) -> np.ndarray:
        """For each number of y which program wrote it, counted in the order in which they first wrote into it."""
        found = np.full(y.size, -1)
        known: dict[tuple[int, ...], int] = {}
        for addresses, program in self.stores:
            places = (addresses - y.ctypes.data) // y.itemsize
            places = places[(places >= 0) & (places < y.size)]
            if places.size:
                found[places] = known.setdefault(program, len(known))
        return found.reshape(y.shape)


@contextlib.contextmanager
def traced(*arrays: np.ndarray) -> Iterator[Traffic]:
    """Within this context, what launches in the interpreter do to `arrays` is counted."""
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle  # noqa: F401

    traffic = Traffic(*arrays)
    load, store = InterpreterBuilder.create_masked_load, InterpreterBuilder.create_masked_store

    def counted_load(self: Any, ptrs: Any, mask: Any, *rest: Any, **more: Any) -> Any:
        traffic.note(ptrs, mask, "reads", tuple(self.grid_idx))
        return load(self, ptrs, mask, *rest, **more)

    def counted_store(self: Any, ptrs: Any, value: Any, mask: Any, *rest: Any, **more: Any) -> Any:
        traffic.note(ptrs, mask, "writes", tuple(self.grid_idx))
        return store(self, ptrs, value, mask, *rest, **more)

    with patch.multiple(InterpreterBuilder, create_masked_load=counted_load, create_masked_store=counted_store):
        yield traffic
