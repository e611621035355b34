"""A sanitiser for GPU kernels, in Triton's interpreter: what a wrong address, a race or a forgotten element leaves behind.

    with sanitised(order=reversed) as memory:
        y = gpu.forward(memory.guarded(x))

Every output and every `guarded` input lies between two guard zones. Guards and fresh outputs are filled with NaNs, so a read
outside shows in the result; at the end of the block a write outside, or an output with an element that no program wrote,
raises `SanitiserError`. `order` turns the list of programs into the order in which they run: a correct kernel gives the same
bits in any, as a GPU promises none. `every_read=True` also raises it at the first load from an address outside all arrays,
even if what it gives is thrown away: a mirrored address carries no mask, only arithmetic keeps it inside.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from kernels.gpu import launch
from kernels.gpu.launch import Pointer, hooks

GUARD = 512  # bytes on either side
SIGNALLING = (
    0x7F81  # the first of 63 signalling NaNs in bfloat16, and twice in a row in float32: arithmetic changes them
)
UNWRITTEN = 0xFF  # all bytes: a NaN in both that no arithmetic gives


class SanitiserError(AssertionError):
    """A kernel wrote or read outside its arrays, or did not write all of its output."""


class Memory:
    """Hands out guarded arrays and remembers them."""

    def __init__(self) -> None:
        self.blocks: list[tuple[np.ndarray, np.ndarray, bool]] = []  # all bytes, the array inside, is it an output

    def guarded(self, array: np.ndarray) -> np.ndarray:
        """A copy of `array` between guard zones."""
        copy = self._block(array.shape, array.dtype, output=False)
        copy[...] = array
        return copy

    def allocate(self, xp: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Stands for `launch.empty`."""
        return self._block(shape, dtype, output=True)

    def check(self) -> None:
        """Raises SanitiserError for the first broken guard and the first output not fully written."""
        for index, (raw, array, output) in enumerate(self.blocks):
            size, word = array.nbytes, self._word(index)
            if any((guard.view(np.uint16) != word).any() for guard in (raw[:GUARD], raw[_end(size) :])):
                raise SanitiserError(f"a kernel wrote outside an array of shape {array.shape}")
            elements = raw[GUARD : GUARD + size].reshape(array.size, array.itemsize)
            if output and (count := int((elements == UNWRITTEN).all(axis=1).sum())):
                raise SanitiserError(f"{count} of {array.size} elements of an output {array.shape} were never written")

    def _word(self, index: int) -> int:
        """Guards differ from block to block, so that one copied onto another shows."""
        return SIGNALLING + index % 63

    def _block(self, shape: tuple[int, ...], dtype: np.dtype, output: bool) -> np.ndarray:
        size = math.prod(shape) * dtype.itemsize
        raw = np.full(_end(size) + GUARD, UNWRITTEN, np.uint8)
        raw[:GUARD].view(np.uint16)[:] = raw[_end(size) :].view(np.uint16)[:] = self._word(len(self.blocks))
        array = raw[GUARD : GUARD + size].view(dtype).reshape(shape)
        self.blocks.append((raw, array, output))
        return array


def shuffled(seed: int) -> Callable[[Iterable[tuple]], list[tuple]]:
    """An order of programs, drawn anew for every launch."""
    rng = random.Random(seed)
    return lambda programs: rng.sample(every := list(programs), len(every))


@contextlib.contextmanager
def sanitised(order: Callable[[Iterable[tuple]], Iterable[tuple]] = iter, every_read: bool = False) -> Iterator[Memory]:
    """Kernels launched inside run on guarded memory and in that order; on leaving, the memory is checked."""
    memory = Memory()
    with (
        mock.patch.multiple(hooks, allocate=memory.allocate, order=order),
        reads_inside(memory) if every_read else contextlib.nullcontext(),
    ):
        yield memory
    memory.check()


@contextlib.contextmanager
def reads_inside(memory: Memory) -> Iterator[None]:
    """SanitiserError at a load from an address neither in `memory` nor in an array that a kernel was given."""
    from kernels.gpu.interpreter import Builder

    given: list[np.ndarray] = []  # copies that were made contiguous, and tables of addresses

    class Noted(Pointer):
        def __init__(self, array: np.ndarray) -> None:
            super().__init__(array)
            given.append(array)

    def checked(load: Any) -> Any:
        def check_and_load(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
            lanes = np.broadcast_to(getattr(mask, "data", True), pointers.data.shape)
            addresses = pointers.data[lanes].astype(np.int64)
            known = [*given, *(array for _, array, _ in memory.blocks)]
            ranges = np.array(sorted((a.ctypes.data, a.ctypes.data + a.nbytes) for a in known))
            last = np.searchsorted(ranges[:, 0], addresses, "right") - 1  # the last that begins at or before it
            if not ((last >= 0) & (addresses < np.maximum.accumulate(ranges[:, 1])[last])).all():
                raise SanitiserError("a kernel read outside its arrays")
            return load(self, pointers, mask, *rest)

        return check_and_load

    with (
        mock.patch.object(launch, "Pointer", Noted),
        mock.patch.object(Builder, "create_masked_load", checked(Builder.create_masked_load)),
    ):
        yield


def _end(size: int) -> int:
    """Where the trailing guard starts; kept even, so that it can be read in words."""
    return GUARD + size + size % 2
