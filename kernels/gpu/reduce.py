"""What the reductions share: sums and moments in a fixed order, without atomics, so that the same input gives the same bits.

A reduction over a large array takes two launches. In the first, every program reduces a tile and writes its partial result
to a slot of its own; in the second, a program reads all the slots in order. Atomics would save the second launch, but they
add in the order in which programs happen to finish.
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.launch import cdiv, contiguous, empty, launch

BLOCK = 1024


@triton.jit
def merge_moments(n_a, mean_a, m2_a, n_b, mean_b, m2_b):
    """Count, mean and sum of squared deviations of two sets together (Chan, Golub & LeVeque 1979)."""
    n = n_a + n_b
    delta = mean_b - mean_a
    share = n_b / tl.maximum(n, 1.0)
    return n, mean_a + delta * share, m2_a + m2_b + delta * delta * n_a * share


@triton.jit
def merge_lanes(count, mean, m2):
    """Mean and sum of squared deviations [B] of all lanes: counts [A,1], means and sums [A,B]. The mean first, then squares around it."""
    together = tl.sum(count * mean, 0) / tl.sum(count, 0)  # [B]
    delta = mean - together[None, :]  # [A,B]
    return together, tl.sum(m2 + count * delta * delta, 0)


@triton.jit
def _sum_partials(partials, total, count, BLOCK: tl.constexpr):
    """One program: total [] = the sum of partials [count]; lane i adds every BLOCK-th, then lanes as a tree."""
    lanes = tl.zeros((BLOCK,), tl.float32)  # [BLOCK]
    for start in range(0, count, BLOCK):
        at = start + tl.arange(0, BLOCK)  # [BLOCK]
        lanes += tl.load(partials + at, mask=at < count, other=0.0)
    tl.store(total, tl.sum(lanes, 0))


def sum_of_partials(partials: Array) -> Array:
    """The sum of `partials` [T]: a float32 array of shape []. One launch, or none where there is but one."""
    if partials.size == 1:
        return partials.reshape(())
    total = empty(partials, (), "float32")
    # One program: lane i adds partials i, i + BLOCK, i + 2 BLOCK, ...; then the lanes are summed as a tree.
    launch(_sum_partials, (1,), partials, total, partials.size, BLOCK=BLOCK)
    return total


def loss_and_gradient(kernel: Any, inputs: tuple[Array, ...], *numbers: float, weight: float) -> tuple[Array, Array]:
    """`weight` times the mean loss of `inputs`, all of one shape, as a float32 array [], and its gradient to the first.

    kernel(*inputs, dx, partials, *numbers, share, n, BLOCK) leaves share = weight / n of each element's loss and of its gradient.
    """
    x, *_ = inputs = contiguous(*inputs)
    dx, partials = empty(x, x.shape), empty(x, (cdiv(x.size, BLOCK),), "float32")
    # Program i owns elements [BLOCK i, BLOCK (i + 1)) of the inputs and dx, and partial i.
    launch(kernel, partials.shape, *inputs, dx, partials, *numbers, weight / x.size, x.size, BLOCK=BLOCK)
    return sum_of_partials(partials), dx
