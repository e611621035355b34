"""A step in parts: as one large batch, in the memory of a small one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kernels.device import Array


@dataclass(frozen=True)
class Part:
    """A part of a step. Gradients are forgotten before the first and followed after the last; each part's losses, which
    are means over its pictures, count by its share of the step's pictures."""

    share: float = 1.0
    first: bool = True
    last: bool = True


def parts(real_a: Array, real_b: Array, count: int) -> Iterator[tuple[Part, Array, Array]]:
    """Pictures [N,H,W,C] of both domains in at most `count` parts of ceil(N / count)."""
    images = len(real_a)
    size = -(-images // count)
    for start in range(0, images, size):
        stop = min(start + size, images)
        part = Part((stop - start) / images, start == 0, stop == images)
        yield part, real_a[start:stop], real_b[start:stop]
