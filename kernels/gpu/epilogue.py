"""What the backward of a convolution can do for the tensor its gradient belongs to, while a tile of it is in registers.

A gradient dx seldom stays as a convolution makes it. In a residual network it is added to the gradient that went round
through the skip; then the instance norm that made x wants two sums over it. Done apart, each of that is a launch that
fetches all of dx from memory again. `Epilogue` says what is wanted: whoever runs the backward fills it in. A module whose
`backward` takes one says `EPILOGUE = True`, one whose `backward` takes sums `SUMS = True`, one that may defer a weight's gradient
`DEFERRED = True`; every op is as correct without any.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from kernels.device import Array


@dataclass
class Sums:
    """The two sums over the gradient of an instance norm's output, per image and channel, that its backward needs.

    Whoever makes the last contribution to that gradient may leave `partials` [N,T,2,C]: the sums of g and of g x_hat over
    any T parts of the pixels, g being the gradient ahead of the activation. Where they stay None, the norm makes them.
    """

    x: Array  # [N,H,W,C], what was normalised
    mean: Array  # [N,C]
    rstd: Array  # [N,C]
    negative: float  # the activation's slope below 0
    partials: Array | None = None


@dataclass
class Epilogue:
    """For dx: what has arrived for x before, to be added; and the sums that the norm behind x would like, if it is one."""

    onto: Array | None = None
    sums: Sums | None = None


class Deferred(Protocol):
    """Who has weight gradients made later, those of one kind together: autograd/fusion.py. A kernel's result holds noise until then."""

    def join(self, kind: Hashable, work: Any, together: Callable[[list[Any]], None]) -> None:
        """Let `work` wait for more of its kind; `together` does all of it."""
