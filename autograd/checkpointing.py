"""Gradient checkpointing (activation checkpointing, rematerialisation): a block's activations are not kept for the backward,
but computed again when it comes to them.

Of the block only its input is kept (Chen, Xu, Zhang and Guestrin 2016, Training Deep Nets with Sublinear Memory Cost,
https://arxiv.org/abs/1604.06174). The backward runs the same kernels on the same numbers, so the gradients are the same to the
last bit; it costs one more forward of the block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autograd.engine import leaf_gradients
from autograd.function import Function
from autograd.mode import no_grad
from autograd.tensor import Tensor, total
from kernels.device import Array


class Checkpointed(Function):
    """block(x); the weights are inputs of the op as well, so that their gradients go where all gradients go."""

    def forward(self, x: Array, *weights: Array) -> Array:
        self.save(x, *weights)  # the weights only to notice if they have changed when they are wanted again
        with no_grad():
            return self.settings["block"](Tensor(x, device=self.device)).data

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        assert self.inputs is not None
        x = Tensor(self.saved[0], requires_grad=self.need[0], device=self.device)
        arrived = leaf_gradients(self.settings["block"](x), dy)
        return tuple(total(t, arrived[t]) if t in arrived else None for t in (x, *self.inputs[1:]) if t is not None)


def checkpointed(block: Callable[[Tensor], Tensor], x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """block(x), whose activations the backward will compute again. `weights` are all leaves that `block` depends on.

    `block` must be a function of x and the weights alone: no fresh random numbers, no change of state.
    """
    return Checkpointed(block=block)(x, *weights)
