"""One training step at full size as a list of launches, without running it, on any machine.

`kernels.gpu.launch` notes the kernels. What a step does between them in plain array code (sums of losses, gradients joined or
cut apart) costs launches too: on the GPU each such operation is a kernel of CuPy's. So the arrays here are NumPy's under
observation, full of zeros, and every operation on them is noted with its bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.op_providers import OpWork, OursOps
from kernels import dispatch
from kernels.cast import gpu as cast
from kernels.clip_grad_norm import gpu as clip_grad_norm
from kernels.ema import gpu as ema
from kernels.gpu.autotune import Tiles
from kernels.gpu.launch import Launch, hooks, recorded
from tests.cases import CASES
from train.config import sides
from train.config.settings import Config
from train.cyclegan import CycleGAN
from train.models.model import Model

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


class EveryCandidate:
    """In the place of a tuner (kernels/gpu/autotune.py): asks for every candidate once, and takes the table's tiles."""

    def pick(self, kernel: Any, shape: Any, candidates: Sequence[Tiles], attempt: Callable[[Tiles], Any]) -> Tiles:
        for tiles in candidates[1:]:
            attempt(tiles)
        return candidates[0]


def record_step(
    precision: str, config: Config | None = None, system: type[Model] = CycleGAN, candidates: bool = False
) -> Step:
    """The launches of one update of all players (not the first), under the paper's settings unless others are given.

    With `candidates`, among them those that a tuner would measure beside the table's.
    """
    step = Step()
    with _restored():
        hooks.tuner = EveryCandidate() if candidates else None
        model = system(config := (config or Config()).replace(device="interpret", precision=precision))
        shape = (config.batch_size, *reversed(sides(config.crop_size)))
        pictures = [np.zeros((*shape, channels), np.float32) for channels in (config.input_nc, config.output_nc)]
        with recorded(run=False):
            model.step(*pictures)  # makes what a run makes once: the pools
        with _watched(step), recorded(run=False) as step.launches:
            stacks = [pair.both() for pair in getattr(model, "pairs", ())]
            for network in (*model.networks().values(), *stacks):
                for _, parameter in network.named_parameters():
                    parameter.data = parameter.data.view(Watched)
                    if parameter.low is not None:
                        parameter.low = parameter.low.view(Watched)
            model.step(*pictures)
    return step


def record_ops(precision: str) -> list[Launch]:
    """The launches of every op that has kernels, forward and backward, at the shapes of `python -m benchmarks kernels`."""
    with _restored(), recorded(run=False) as launches:
        ops = OursOps(OpWork("interpret", precision))
        for case in CASES:
            if case.label == "real" and find_spec(f"{dispatch.__package__}.{case.op}.gpu"):
                ops.run(ops.inputs((str(case), "backward", 0)))  # of which the inputs make the forward
        weight = np.zeros((3, 3, 256, 256), np.float32)
        cast.forward(weight, dtype=OpWork(precision="bf16").dtype)  # these have no case: no gradient
        ema.update([weight], [weight], share=0.5)
        clip_grad_norm.forward([weight], most=1.0)
    return launches


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    """What is set inside for all of the process is as before afterwards."""
    before = hooks.matmul, hooks.tuner
    try:
        yield
    finally:
        hooks.matmul, hooks.tuner = before


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

    def tolist(self) -> Any:
        Watched.step.waits += 1
        return super().tolist()


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
