"""Log loss on logits in the graph; see kernels/bce_with_logits."""

from __future__ import annotations

from autograd.ops.loss import Loss
from autograd.tensor import Tensor


class BceWithLogits(Loss):
    op = "bce_with_logits"


def bce_with_logits(x: Tensor, target: float, weight: float = 1.0) -> Tensor:
    """weight times the mean log loss of logits x against a constant label: 1 real, 0 fake."""
    return BceWithLogits(target=target, weight=weight)(x)
