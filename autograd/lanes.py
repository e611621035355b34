"""Lanes: parts of a step that share nothing but leaves, each with a forward and a backward of its own.

One after the other they need the memory of one. Side by side, one thread each, nothing is handed over within an op, which is
what costs most in small networks; a lane that has ended helps the other (kernels/cpu/threads.py). The bits are the same
either way: each lane sums its gradients by itself, and the sums are added in the order of the lanes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from autograd.engine import accumulate
from autograd.mode import state, watched
from autograd.tensor import Tensor, total
from kernels.device import Array

SMALL = 1 << 20
"""Numbers in a lane's largest layer: 128 pixels square at 64 channels. There two cores took less time side by side
and more memory; at 256 pixels memory is dearer."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def lanes(work: Callable[[Item], Result], items: Sequence[Item], side_by_side: bool = False) -> list[Result]:
    """work(item) of each, in which `backward` is called; gradients are in the leaves afterwards.

    If one raises an error, so does this, after all have ended; the leaves are then as they were. (Where somebody watches leaves,
    those of the lanes before are in them when the last lane begins: with its backward they become complete.)
    """

    def lane(item: Item) -> tuple[Result, dict]:
        with collected() as gradients:
            return work(item), gradients

    if side_by_side:
        from kernels.cpu.threads import together  # which sets the whole process up for computing on the CPU

        done = together(lane, items)
    elif state.watcher is not None:
        *before, last = items
        done = [lane(item) for item in before]
        for _, gradients in done:
            accumulate(gradients)
        return [*(result for result, _ in done), work(last)]
    else:
        done = [lane(item) for item in items]
    for _, gradients in done:
        accumulate(gradients)
    return [result for result, _ in done]


@contextlib.contextmanager
def collected() -> Iterator[dict[Tensor, list[Array]]]:
    """Within this context this thread's backwards leave what arrives at leaves in the dict; at its end all is added up."""
    gradients: dict[Tensor, list[Array]] = {}

    def take(arrived: dict[Tensor, list[Array]]) -> None:
        for leaf, arrays in arrived.items():
            gradients.setdefault(leaf, []).extend(arrays)

    before, state.take = state.take, take
    try:
        with watched(None):
            yield gradients
        gradients.update({leaf: [total(leaf, arrays)] for leaf, arrays in gradients.items()})
    finally:
        state.take = before


def side_by_side_pays(size: int) -> bool:
    """Whether lanes whose largest layer has `size` numbers should run side by side.

    Two lanes keep two cores busy. The more there are, the smaller a layer must be to gain more from that than from all of
    them sharing each op (the measurement is for two; beyond, this is an estimate).
    """
    from kernels.cpu.threads import COUNT

    return COUNT > 1 and size * COUNT <= 2 * SMALL
