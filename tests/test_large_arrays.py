"""Arrays of more than 2^31 elements, a batch of 600 pictures of 256x256x64 say: offsets that a GPU kernel computes in 32 bits must not reach so far.

No memory is spent on them. A kernel is told made-up addresses, far apart; its last program alone runs, in Triton's
interpreter; each address that it computes must lie in an array that it was given, and what it reads there is 0.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from unittest import mock

import ml_dtypes
import numpy as np
import pytest

from kernels.conv2d.geometry import Geometry, TransposedGeometry
from kernels.gpu import launch
from kernels.gpu.launch import Pointer, hooks
from kernels.instance_norm.settings import NormSettings
from tests.sanitiser import SanitiserError

LARGE = 2**24  # bytes: what is smaller has memory
APART = 2**36  # bytes between the addresses of arrays without
LAST = 2**45  # where such addresses end


def without_memory(*shape: int, dtype: Any = ml_dtypes.bfloat16) -> np.ndarray:
    """An array of zeros; where it is large, nobody but a kernel may touch its elements."""
    dtype = np.dtype(dtype)
    if math.prod(shape) * dtype.itemsize < LARGE:
        return np.zeros(shape, dtype)
    strides = [dtype.itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return np.lib.stride_tricks.as_strided(np.zeros(1, dtype), shape, strides)


@contextlib.contextmanager
def last_programs() -> Iterator[None]:
    """Of each launch the last program runs. SanitiserError where it loads from, or stores to, an address in none of its arrays."""
    from kernels.gpu.interpreter import Builder, Handle

    places = itertools.count(APART, APART)
    given: list[tuple[int, int]] = []

    class Told(Pointer):
        """An array's address, or one made up."""

        def __init__(self, array: np.ndarray) -> None:
            super().__init__(array)
            self.at = array.ctypes.data if array.nbytes < LARGE else next(places)
            given.append((self.at, self.at + array.nbytes))

        def data_ptr(self) -> int:
            return self.at

    def checked(pointers: Any, mask: Any) -> Any:
        """The mask, less the lanes whose array has no memory."""
        lanes = np.broadcast_to(mask.data, pointers.data.shape)
        at = pointers.data.astype(np.int64)
        if not np.any([(at >= first) & (at < end) for first, end in given], axis=0)[lanes].all():
            raise SanitiserError("a kernel computed an address outside its arrays")
        return Handle(lanes & (at >= LAST), mask.dtype)

    load, store = Builder.create_masked_load, Builder.create_masked_store
    ours = dict(
        create_masked_load=lambda self, at, mask, *rest: load(self, at, checked(at, mask), *rest),
        create_masked_store=lambda self, at, value, mask, *rest: store(self, at, value, checked(at, mask), *rest),
    )
    order: Callable[[Iterable[tuple]], Iterable[tuple]] = lambda programs: collections.deque(programs, maxlen=1)
    with (
        mock.patch.object(launch, "Pointer", Told),
        mock.patch.multiple(Builder, **ours),
        mock.patch.multiple(hooks, order=order, allocate=lambda xp, shape, dtype: without_memory(*shape, dtype=dtype)),
    ):
        yield


x = without_memory(600, 256, 256, 64)  # between 2^31 and 2^32 elements: an offset in 32 bits becomes negative
wide = without_memory(600, 16, 16, 2**14)
small = without_memory(600, 128, 128, 128)
w = without_memory(3, 3, 64, 64)
per_channel = without_memory(600, 2**14, dtype=np.float32)
mirrored, norm = Geometry(padding=1, padding_mode="reflect"), NormSettings(activation="relu")
rgb, by_three = without_memory(600, 256, 256, 3), Geometry(padding=3, padding_mode="reflect")
half, double = Geometry(stride=2, padding=1), TransposedGeometry(stride=2, padding=1, output_padding=1)
CALLS: dict[str, Callable[[Callable[[str], Any]], Any]] = {
    "conv2d": lambda op: op("conv2d").forward(x, w, geometry=mirrored),
    "conv2d strided": lambda op: op("conv2d").forward(x, w, geometry=half),
    "conv2d dx": lambda op: op("conv2d").backward(x, x, w, geometry=mirrored, need=(True, False, False)),
    "head": lambda op: op("conv2d").forward(x, without_memory(7, 7, 64, 3), geometry=by_three),
    "head dx": lambda op: op("conv2d").backward(rgb, x, without_memory(7, 7, 64, 3), geometry=by_three, need=(True, False, False)),
    "stem": lambda op: op("conv2d").forward(rgb, without_memory(7, 7, 3, 64), geometry=by_three),
    "stem dx": lambda op: op("conv2d").backward(x, rgb, without_memory(7, 7, 3, 64), geometry=by_three, need=(True, False, False)),
    "conv_transpose2d": lambda op: op("conv_transpose2d").forward(small, without_memory(3, 3, 128, 64), geometry=double),
    # Two weights, each for more than 2^31 elements of x, then of dy: few pixels of many channels, for a program walks over all pixels.
    "conv2d dw, x": lambda op: op("conv2d").backward(
        without_memory(4, 4, 4, 16), without_memory(4, 4, 4, 2**26), without_memory(2, 1, 1, 2**26, 16),
        geometry=Geometry(), need=(False, True, False),
    ),
    "conv2d dw, dy": lambda op: op("conv2d").backward(
        without_memory(4, 4, 4, 2**26), without_memory(4, 4, 4, 16), without_memory(2, 1, 1, 16, 2**26),
        geometry=Geometry(), need=(False, True, False),
    ),
    "instance_norm": lambda op: op("instance_norm").forward(wide, wide, norm=norm),
    "instance_norm dx": lambda op: op("instance_norm").backward(wide, wide, per_channel, per_channel, norm=norm),
    "leaky_relu": lambda op: op("leaky_relu").backward(x, op("leaky_relu").forward(x, slope=0.2), slope=0.2),
    "add": lambda op: op("add").forward(x, x, x),
    "cast": lambda op: op("cast").forward(x, dtype=np.dtype(np.float32)),
    "concat": lambda op: op("concat").backward(op("concat").forward(small, small), widths=(64, 192)),
    "batch_slice": lambda op: op("batch_slice").backward(small, count=1200, start=300),
    "dropout": lambda op: op("dropout").forward(x, p=0.5, key=7),
    "l1_loss": lambda op: op("l1_loss").forward(x, x),
    "reflection_pad": lambda op: op("reflection_pad").backward(op("reflection_pad").forward(x, pad=3), pad=3),
    "resize": lambda op: op("resize").forward(x, size=(300, 300), mode="bilinear"),
    "image_pool": lambda op: op("image_pool").forward(x, x, without_memory(600, 2, dtype=np.int32)),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_every_address_lies_inside(call: str) -> None:
    with last_programs():
        CALLS[call](lambda name: importlib.import_module(f"kernels.{name}.gpu"))
