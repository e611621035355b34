"""Convolutions with a stack of weights: two networks of one architecture in one launch per layer.

    w [G,R,S,C,K], b [G,K], x [G*N,H,W,C]: images g*N, ..., (g+1)*N - 1 meet weight g; dw and db are stacks as well

A module that says `GROUPED = True` takes stacks itself. For the others, `GroupByGroup` cuts the batch, computes one group
after the other and joins the results: the same contract, and no line of theirs is concerned.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from kernels.device import Array, xp_of


class GroupByGroup:
    """The `forward` and `backward` of an ungrouped module, for stacks of weights."""

    def __init__(self, kernel: ModuleType) -> None:
        self.kernel = kernel

    def forward(self, x: Array, w: Array, third: Array | None = None, **settings: Any) -> Any:
        """`third` is a stack of biases [G,K] or a skip [G*N,P,Q,K]."""
        thirds = third if third is not None and third.ndim == 2 else pieces(third, len(w))
        parts = [self.kernel.forward(*group, **settings) for group in zip(pieces(x, len(w)), w, thirds, strict=True)]
        if not isinstance(parts[0], tuple):
            return xp_of(x).concatenate(parts)
        return tuple(xp_of(x).concatenate(images) for images in zip(*parts, strict=True))

    def backward(self, dy: Array, x: Array, w: Array, *saved: Array, **settings: Any) -> tuple[Array | None, ...]:
        """`saved` is what the forward left for each image."""
        cut = [pieces(a, len(w)) for a in (dy, x, *saved)]
        parts = [self.kernel.backward(dy, x, w, *rest, **settings) for w, dy, x, *rest in zip(w, *cut, strict=True)]
        dxs, *others = zip(*parts, strict=True)
        dx = None if dxs[0] is None else xp_of(x).concatenate(dxs)
        return dx, *(None if d[0] is None else xp_of(x).stack(d) for d in others)


def for_weight(kernel: ModuleType, w: Array) -> Any:
    """What computes with w [R,S,C,K] or [G,R,S,C,K]: the module itself if it can, else `GroupByGroup` of it."""
    return kernel if w.ndim == 4 or getattr(kernel, "GROUPED", False) else GroupByGroup(kernel)


def groups(x: Array, w: Array) -> int:
    """G, or 1 for a weight that is no stack. ValueError where x [N,...] cannot be shared out."""
    count = len(w) if w.ndim == 5 else 1
    if len(x) % count:
        raise ValueError(f"{len(x)} images cannot be shared out to a stack of {count} weights")
    return count


def pieces(x: Array | None, count: int) -> list[Array | None]:
    """The images of each group."""
    if x is None:
        return [None] * count
    if len(x) % count:
        raise ValueError(f"{len(x)} images cannot be shared out to a stack of {count} weights")
    each = len(x) // count
    return [x[g * each : (g + 1) * each] for g in range(count)]
