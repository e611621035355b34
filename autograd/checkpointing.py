"""Gradient checkpointing: what a part of a network computes inside is not kept for the backward, but computed again.

Of the part only its input is kept (Chen, Xu, Zhang and Guestrin 2016, Training Deep Nets with Sublinear Memory Cost). The
backward runs the same kernels on the same numbers, so the gradients are the same to the last bit; it costs one more forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autograd.engine import leaf_gradients, totals
from autograd.function import Function
from autograd.mode import no_grad
from autograd.tensor import Tensor
from kernels.device import Array


class Recomputed(Function):
    """part(x); the weights are inputs of the op as well, so that their gradients go where all gradients go."""

    def forward(self, x: Array, *weights: Array) -> Array:
        self.save(x, *weights)  # the weights only to notice if they have changed when they are wanted again
        with no_grad():
            return self.settings["part"](Tensor(x, device=self.device)).data

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        assert self.inputs is not None
        x = Tensor(self.saved[0], requires_grad=self.need[0], device=self.device)
        gradients = totals(leaf_gradients(self.settings["part"](x), dy))
        return tuple(None if t is None else gradients.get(t) for t in (x, *self.inputs[1:]))


def recomputed(part: Callable[[Tensor], Tensor], x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """part(x), of which the backward will compute the inside again. `weights` are all leaves that `part` depends on.

    `part` must be a function of x and the weights alone: no fresh random numbers, no change of state.
    """
    return Recomputed(part=part)(x, *weights)
