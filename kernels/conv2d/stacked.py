"""Convolutions with a stack of weights: two networks of one architecture in one launch per layer.

    w [G,R,S,C,K], b [G,K], x [G*N,H,W,C]: images g*N, ..., (g+1)*N - 1 meet weight g; dw and db are stacks as well

A module that says `STACKED = True` takes stacks itself. For the others kernels/dispatch.py takes `WeightByWeight`, which cuts
the batch, computes with one weight after the other and joins the results: the same contract, and no line of theirs is
concerned.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from kernels.device import Array, xp_of


class WeightByWeight:
    """The `forward` and `backward` of a module that takes one weight, for stacks of weights."""

    def __init__(self, kernel: ModuleType) -> None:
        self.kernel = kernel

    def forward(self, x: Array, w: Array, third: Array | None = None, **settings: Any) -> Any:
        """`third` is a stack of biases [G,K] or a skip [G*N,P,Q,K]."""
        thirds = third if third is not None and third.ndim == 2 else shared_out(third, len(w))
        each = zip(shared_out(x, len(w)), w, thirds, strict=True)
        results = [self.kernel.forward(*arrays, **settings) for arrays in each]
        if not isinstance(results[0], tuple):
            return xp_of(x).concatenate(results)
        return tuple(xp_of(x).concatenate(images) for images in zip(*results, strict=True))

    def backward(self, dy: Array, x: Array, w: Array, *saved: Array, **settings: Any) -> tuple[Array | None, ...]:
        """`saved` is what the forward left for each image."""
        each = zip(w, *(shared_out(a, len(w)) for a in (dy, x, *saved)), strict=True)
        results = [self.kernel.backward(dy, x, w, *rest, **settings) for w, dy, x, *rest in each]
        dxs, *others = zip(*results, strict=True)
        dx = None if dxs[0] is None else xp_of(x).concatenate(dxs)
        return dx, *(None if d[0] is None else xp_of(x).stack(d) for d in others)


def stack_size(x: Array, w: Array) -> int:
    """G, or 1 for a weight that is no stack. ValueError where x [N,...] cannot be shared out."""
    count = len(w) if w.ndim == 5 else 1
    _images_of_each(x, count)
    return count


def shared_out(x: Array | None, count: int) -> list[Array | None]:
    """The images that meet each of `count` weights."""
    if x is None:
        return [None] * count
    each = _images_of_each(x, count)
    return [x[g * each : (g + 1) * each] for g in range(count)]


def unstacked(w: Array, *gradients: Array | None) -> list[Array | None]:
    """Gradients [G,...] as w wants them: without the G if it is no stack."""
    return [g if g is None or w.ndim == 5 else g[0] for g in gradients]


def _images_of_each(x: Array, count: int) -> int:
    if len(x) % count:
        raise ValueError(f"{len(x)} images cannot be shared out to a stack of {count} weights")
    return len(x) // count
