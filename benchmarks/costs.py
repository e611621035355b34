"""What work costs: floating-point operations and the bytes that must move, counted from shapes.

A multiply-add is two operations. Convolutions are counted as the direct sum, whatever the algorithm: one that needs
fewer multiplications (Winograd) may show more GFLOP/s than the machine's peak. Bytes count every operand once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from benchmarks.providers import Work

Shape = tuple[int, ...]

# Operations per element of the largest operand, forward; the backward of these costs about as much.
ELEMENTWISE = {
    "reflection_pad": 0, "concat": 0, "reshape": 0, "getitem": 0, "leaky_relu": 1, "tanh": 10, "instance_norm": 7,
    "lsgan_loss": 4, "l1_loss": 4, "hinge_loss": 4, "bce_with_logits": 20, "resize": 8, "adam": 12,
}  # fmt: skip

FUSED = ("lsgan_loss", "l1_loss", "hinge_loss", "bce_with_logits", "mean")
"""Losses: the forward makes the gradient too, and the backward only scales it."""
NEEDS_ONLY_DY = ("reflection_pad", "concat", "add", "batch_slice", "resize", "dropout")
"""Ops whose backward reads nothing but dy; the others read their inputs, or as much, again."""


@dataclass(frozen=True)
class Cost:
    """Operations and bytes of a pass as they are usually counted, and the least that any algorithm could do with.

    The least bytes are those read: what is written may still lie in a cache when the clock stops.
    """

    flops: float
    bytes: float
    least_flops: float
    least_bytes: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def op_cost(op: str, inputs: Sequence[Shape | None], output: Shape, direction: str, itemsize: int = 4) -> Cost:
    """What one "forward", "backward" or "both" of `op` costs; `itemsize` in bytes.

    A backward makes all gradients: it reads dy and, but for NEEDS_ONLY_DY, the inputs.
    """
    if direction == "both":
        return op_cost(op, inputs, output, "forward", itemsize) + op_cost(op, inputs, output, "backward", itemsize)
    taken, made = sum(math.prod(shape) for shape in inputs if shape is not None), math.prod(output)
    fewer = fewest_multiplications(*inputs[1][:2]) if op.startswith("conv") and inputs[1] else math.inf
    if direction == "forward":
        flops = forward_flops(op, inputs, output)
        moved = taken + made + (math.prod(inputs[0] or ()) if op in FUSED else 0)
        return Cost(flops, itemsize * moved, flops / fewer, itemsize * taken)
    flops = backward_flops(op, inputs, output, [shape is not None for shape in inputs])
    if op in FUSED:
        return Cost(taken, itemsize * 2 * taken, 0, 0)  # nothing at all where dy is 1
    moved = taken + made + (0 if op in NEEDS_ONLY_DY else taken)
    return Cost(flops, itemsize * moved, flops / fewer, itemsize * made)


def fewest_multiplications(R: int, S: int, tile: int = 6) -> float:
    """By how much minimal filtering (Winograd) could cut a convolution's multiplications.

    With tiles of 6 outputs, of which float32 can no longer tell the results well: F(6x6, 3x3) needs 64 in place of 324.
    """
    return tile * R / (tile + R - 1) * tile * S / (tile + S - 1)


def forward_flops(op: str, inputs: Sequence[Shape | None], output: Shape) -> int:
    """Operations of one forward of `op`, named as its folder in kernels/."""
    largest = max(math.prod(shape) for shape in (*inputs, output) if shape is not None)
    if not op.startswith("conv"):
        return ELEMENTWISE.get(op, 1) * largest
    norm = ELEMENTWISE["instance_norm"] * math.prod(output) if "norm" in op else 0
    return convolution_flops(op, inputs, output) + norm


def backward_flops(op: str, inputs: Sequence[Shape | None], output: Shape, need: Sequence[bool]) -> int:
    """Operations of one backward that makes the gradients `need` asks for, input by input."""
    if not op.startswith("conv"):
        return forward_flops(op, inputs, output)
    product = convolution_flops(op, inputs, output)
    return product * sum(map(bool, need[:2])) + forward_flops(op, inputs, output) - product


def convolution_flops(op: str, inputs: Sequence[Shape | None], output: Shape) -> int:
    """Operations of a convolution's products: x [N,H,W,C], w [R,S,C,K], output [N,P,Q,K]."""
    x, w = inputs[:2]
    assert x is not None and w is not None
    R, S, C, K = w
    pixels = math.prod(x[:3]) if op.startswith("conv_transpose") else math.prod(output[:3])
    return 2 * pixels * R * S * C * K


def generator_flops(work: Work) -> tuple[int, int]:
    """Convolutions of one generator forward, and of its first layer alone (whose input needs no gradient)."""
    n, s = work.ngf, work.size
    stem = 2 * s * s * 49 * 3 * n
    down = 2 * (s // 2) ** 2 * 9 * n * 2 * n + 2 * (s // 4) ** 2 * 9 * 2 * n * 4 * n
    block = 2 * (2 * (s // 4) ** 2 * 9 * (4 * n) ** 2)
    up = down  # the transposed convolutions mirror the strided ones
    return work.batch * (stem + down + work.n_blocks * block + up + stem), work.batch * stem


def discriminator_flops(work: Work) -> tuple[int, int]:
    """Convolutions of one PatchGAN forward, and of its first layer alone."""
    n, s = work.ngf, work.size
    first = 2 * (s // 2) ** 2 * 16 * 3 * n
    strided = 2 * (s // 4) ** 2 * 16 * n * 2 * n + 2 * (s // 8) ** 2 * 16 * 2 * n * 4 * n
    last = 2 * (s // 8 - 1) ** 2 * 16 * 4 * n * 8 * n + 2 * (s // 8 - 2) ** 2 * 16 * 8 * n
    return work.batch * (first + strided + last), work.batch * first


def step_flops(work: Work) -> int:
    """Convolutions of one full training step with identity loss.

    Generators: 6 forwards, each with a weight and an input gradient, but for the first layer's input where that is a
    picture of the data (4 of 6). Discriminators: 2 forwards with input gradients for the generators; then 4 forwards
    with weight and input gradients, the first layer's input again excepted.
    """
    g, g_first = generator_flops(work)
    d, d_first = discriminator_flops(work)
    return 6 * 3 * g - 4 * g_first + 2 * 2 * d + 4 * 3 * d - 4 * d_first
