"""What the CPU's convolutions really multiply: Winograd's fewer products, the whole tiles of all, zeros that are multiplied too.

Nothing here knows how a kernel computes. The kernels' own Python runs uncompiled, on arrays of the real shapes with nothing in
them, cut for as many threads as always, and all is left out but who is called how often for how large a product. Each call of
`multiply` (kernels/cpu/gemm.py) counts for the tiles that it would compute. So the count follows whatever the kernels decide.
"""

from __future__ import annotations

import argparse
import contextlib
import dis
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import peaks
from benchmarks.harness import Row
from benchmarks.providers import Ours, OursTranslates, Work
from benchmarks.worker import Result, Worker
from kernels import dispatch
from kernels.device import Device
from kernels.dispatch import implementation
from nn.trace import Op

Shape = tuple[int, ...]
CONVOLUTIONS = {
    "conv2d": "conv2d", "conv_norm_relu": "conv2d",
    "conv_transpose2d": "conv_transpose2d", "conv_transpose_norm_relu": "conv_transpose2d",
}  # fmt: skip
"""Ops with products, and whose kernel makes them."""


@dataclass(frozen=True)
class Call:
    """One "forward" or "backward" of the CPU's conv2d or conv_transpose2d, by the shapes of all that it is given."""

    kernel: str
    direction: str
    x: Shape
    w: Shape
    b: Shape | None
    y: Shape
    geometry: Any
    need: tuple[bool, ...] = ()  # dx and dw

    def run(self) -> None:
        """On zeros."""
        module = implementation(self.kernel, Device("cpu"))
        x, w, b, y = (None if s is None else np.zeros(s, np.float32) for s in (self.x, self.w, self.b, self.y))
        if self.direction == "forward":
            module.forward(x, w, b, geometry=self.geometry)
        else:
            module.backward(y, x, w, geometry=self.geometry, need=(*self.need, False))


def of_ops(ops: Iterable[Op]) -> list[tuple[int, int]]:
    """Operations that the products of each op's forward and backward execute; 0 where there are none, or it did not run."""
    known: dict[Call, int] = {}
    with counting() as products:

        def count(call: Call) -> int:
            if call not in known:
                products.clear()
                call.run()
                known[call] = sum(products)
            return known[call]

        return [(sum(map(count, forward)), sum(map(count, backward))) for forward, backward in map(calls, ops)]


def calls(op: Op) -> tuple[list[Call], list[Call]]:
    """What an op's forward and backward ask of the convolutions' kernels."""
    if op.name not in CONVOLUTIONS:
        return [], []
    kernel, (x, w, third) = CONVOLUTIONS[op.name], op.shapes
    assert x is not None and w is not None
    b = third if op.name == kernel else None  # a fused block's third input is its skip
    forward = Call(kernel, "forward", x, w, b, op.output, op.geometry)
    backward = Call(kernel, "backward", x, w, None, op.output, op.geometry, op.need[:2])
    return [forward], [backward] if op.backward_seconds is not None else []


@contextlib.contextmanager
def counting() -> Iterator[list[int]]:
    """Within this context the CPU's loops compute nothing, and the list grows by the operations of each product they ask for."""
    from numba.core.dispatcher import Dispatcher
    from numba.core.extending import _Intrinsic

    from kernels.cpu import gemm

    products: list[int] = []
    product, kinds = gemm.multiply, Dispatcher | FunctionType | _Intrinsic

    def multiply(m: int, n: int, outer: int, inner: int, *rest: Any) -> None:
        products.append(2 * _whole(m, gemm.ROWS) * _whole(n, gemm.LANES) * outer * inner)

    def called(loop: Any) -> list[Any]:
        """What of the kernels a function calls."""
        function = getattr(loop, "py_func", loop)
        if not isinstance(function, FunctionType):
            return []
        names = {one.argval for one in dis.get_instructions(function) if one.opname == "LOAD_GLOBAL"}
        found = [function.__globals__.get(name) for name in names]
        return [f for f in found if isinstance(f, kinds) and f.__module__.startswith(package)]

    def moves_numbers(loop: Any) -> bool:
        return isinstance(loop, _Intrinsic) or any(map(moves_numbers, called(loop)))

    def leads_to_products(loop: Any) -> bool:
        return any(f is product or leads_to_products(f) for f in called(loop))

    def stand_in(loop: Any) -> Any:
        if loop is product:
            return multiply
        function = getattr(loop, "py_func", loop)
        if leads_to_products(loop):
            return function
        gives = not moves_numbers(loop) and re.search(r"\breturn \S", inspect.getsource(function))
        return function if gives else _nothing

    package = f"{dispatch.__package__}."
    for file in Path(dispatch.__file__).parent.glob("*/cpu.py"):  # those that are yet to be loaded would compute
        importlib.import_module(f"{package}{file.parent.name}.cpu")
    modules = [module for path, module in list(sys.modules.items()) if path.startswith(package)]
    places = [
        (module, name, value) for module in modules for name, value in vars(module).items() if isinstance(value, kinds)
    ]
    compiled: list[Any] = [value for *_, value in places if isinstance(value, Dispatcher)]
    for loop in compiled:  # and all that becomes part of it
        compiled += [f for f in called(loop) if f not in compiled]
    places = [place for place in places if isinstance(place[2], _Intrinsic) or place[2] in compiled]
    stand_ins = [stand_in(loop) for *_, loop in places]  # all before the first is in place
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            mock.patch.object(np, "empty", np.zeros)
        )  # what no loop fills is finite, and takes no memory
        for (module, name, loop), instead in zip(places, stand_ins, strict=True):
            stack.callback(setattr, module, name, loop)
            setattr(module, name, instead)
        yield products


class Counting:
    """In the place of one of our contestants: its work is counted and not done."""

    ours: type[Any]

    def __init__(self, work: Work) -> None:
        self.contestant = self.ours(work)

    def load(self) -> None:
        """Numbers do not matter."""

    def inputs(self, key: int) -> Any:
        return self.contestant.inputs(key)

    def run(self, inputs: Any) -> int:
        with counting() as products:
            self.contestant.run(inputs)
        return sum(products)

    def result(self, output: int) -> Result:
        return {"executed": output}


class StepCount(Counting):
    """Of a training step."""

    ours = Ours


class ForwardCount(Counting):
    """Of a generator's forward."""

    ours = OursTranslates


def best_product(args: argparse.Namespace) -> float:
    """GFLOP/s of this machine's best matrix product; 0 on a GPU, and under --vectors, where it would not be the roof."""
    if args.device != "cpu" or getattr(args, "vectors", 0):
        return 0.0
    return peaks.measure(0.1 if args.quick else 2.0).gemm_gflops


def beside(found: list[Row], counter: type[Counting], work: Work, flops: int, best: float) -> list[Row]:
    """The rows of a contest on the CPU with what was `executed`, and `best_product`.

    Ours is counted. Of the others it is only known that PyTorch asks for direct convolutions: theirs is the direct sum, `flops`.
    """
    if work.device != "cpu":
        return found
    worker = Worker(f"{__name__}:{counter.__name__}", work)
    try:
        done = {"ours": worker("result", 0)[0]["executed"]}
    finally:
        worker.close()
    done |= {row["provider"]: flops for row in found if row["provider"].startswith("torch")}
    return [{**row, "product_gflops": best, "executed": done.get(row["provider"])} for row in found]


def _nothing(*arguments: Any) -> None:
    """In the place of loops that only move or change numbers."""


def _whole(n: int, step: int) -> int:
    return (n + step - 1) // step * step
