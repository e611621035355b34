"""One training step at full size as a list of launches, without running it, on any machine.

`kernels.launch` notes the kernels. What a step does between them in plain array code (sums of losses, gradients joined or
cut apart) costs launches too: on the GPU each such operation is a kernel of CuPy's. So the arrays here are NumPy's under
observation, full of zeros, and every operation on them is noted with its bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from kernels.dispatch import implementation
from kernels.launch import Launch, hooks, recorded, set_matmul_precision
from train.config import Config
from train.cyclegan import CycleGAN

PRECISIONS = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Operation:
    """An operation of the array library, with the bytes it reads and writes."""

    name: str
    bytes: int


@dataclass
class Step:
    """What one training step asks of the device."""

    launches: list[Launch] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    waits: int = 0  # times that the host waits for a number
    note: str = ""  # what the record does not show as it will be


def record_step(precision: str, config: Config | None = None) -> Step:
    """The launches of one update of both players, under the paper's settings unless others are given."""
    config = (config or Config()).replace(device="interpret")
    step = Step()
    stored: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if any(setting.name == "precision" for setting in dataclasses.fields(Config)):
        config = config.replace(precision=precision)
    elif precision == "bf16":
        step.note = (
            "training does not store bf16 yet: recorded with every op's pictures and weights handed over as bf16; "
            "the conversions themselves and the array operations between ops are those of float32"
        )
        stored = _stored_as_bf16()
    before = hooks.matmul
    set_matmul_precision("fp32" if precision == "fp32" else "tf32")
    try:
        model = CycleGAN(config)
        with _watched(step), stored, recorded(run=False) as step.launches:
            for network in model.networks().values():
                for _, parameter in network.named_parameters():
                    parameter.data = parameter.data.view(Watched)
            shape = (config.batch_size, config.crop_size, config.crop_size)
            model.step(
                np.zeros((*shape, config.input_nc), np.float32), np.zeros((*shape, config.output_nc), np.float32)
            )
    finally:
        set_matmul_precision(before)
    return step


class Watched(np.ndarray):
    """An array of which every operation is noted in `Watched.step`. Views of it cost nothing."""

    step = Step()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: tuple = (), **settings: Any) -> Any:
        if out:
            settings["out"] = _plain(out)
        result = np.asanyarray(getattr(ufunc, method)(*_plain(inputs), **settings)).view(Watched)
        _note(ufunc.__name__, *inputs, result)
        return out[0] if out else result

    def __array_function__(self, function: Any, types: Any, args: Any, settings: Any) -> Any:
        result = function(*_plain(args), **_plain(settings))
        if not isinstance(result, np.ndarray):
            return result
        arrays = [a for a in _flat((args, *settings.values())) if isinstance(a, np.ndarray)]
        if not any(np.may_share_memory(a, result) for a in arrays):
            _note(function.__name__, *arrays, result)
        return result.view(Watched)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        _note("copy", *2 * [super().__getitem__(key)])

    def astype(self, *args: Any, **settings: Any) -> Any:
        result = super().astype(*args, **settings)
        if result is not self:
            _note("astype", self, result)
        return result

    def item(self, *args: Any) -> Any:
        Watched.step.waits += 1
        return super().item(*args)


@contextlib.contextmanager
def _watched(step: Step) -> Iterator[None]:
    """Arrays are watched however they are made. They are zeros, which the system gives without spending memory."""
    zeros, contiguous = np.zeros, np.ascontiguousarray

    def watched_zeros(*args: Any, **settings: Any) -> Watched:
        array = zeros(*args, **settings).view(Watched)
        _note("zeros", array)
        return array

    def watched_contiguous(array: Any) -> Watched:
        if not array.flags.c_contiguous:
            _note("copy", array, array)
        return contiguous(array).view(Watched)

    def watched_array(data: Any, dtype: Any = None) -> Watched:
        array = np.asanyarray(data, dtype=dtype)
        if not isinstance(data, Watched):
            _note("from the host", array)
        elif array is not data:
            _note("astype", data, array)
        return array.view(Watched)

    with (
        mock.patch.object(Watched, "step", step),
        mock.patch.object(hooks, "allocate", lambda xp, shape, dtype: zeros(shape, dtype).view(Watched)),
        mock.patch.multiple(np, zeros=watched_zeros, ascontiguousarray=watched_contiguous, asarray=watched_array),
    ):
        yield


@contextlib.contextmanager
def _stored_as_bf16() -> Iterator[None]:
    """Ops get their arrays of four axes as bf16 and give float32 back, without a note of either conversion."""
    import ml_dtypes

    def cast(value: Any, to_bf16: bool) -> Any:
        if isinstance(value, tuple):
            return tuple(cast(v, to_bf16) for v in value)
        if not isinstance(value, np.ndarray) or (to_bf16 and (value.ndim != 4 or value.dtype != np.float32)):
            return value
        return hooks.allocate(np, value.shape, np.dtype(ml_dtypes.bfloat16 if to_bf16 else np.float32))

    def in_bf16(op: str, device: Any) -> Any:
        module = implementation(op, device)

        def converted(function: Any) -> Any:
            return lambda *args, **settings: cast(function(*cast(args, True), **settings), False)

        directions = [name for name in ("forward", "backward") if hasattr(module, name)]
        return SimpleNamespace(**{name: converted(getattr(module, name)) for name in directions})

    with mock.patch("autograd.function.implementation", in_bf16):
        yield


def _note(name: str, *arrays: Any) -> None:
    nbytes = sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))
    Watched.step.operations.append(Operation(name, nbytes))


def _plain(value: Any) -> Any:
    """Watched arrays as NumPy's own, also inside lists, tuples and dicts."""
    if isinstance(value, Watched):
        return value.view(np.ndarray)
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield value
