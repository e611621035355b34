"""What fprop and dgrad do with a tile while it is in registers: the part of kernels/gpu/epilogue.py that they share.

Each element is written once. Ahead of that, what has arrived for it before is added; beside it, the two sums are left that
the backward of an instance norm wants over the gradient of its output, or the moments that its forward wants.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.conv2d.implicit_gemm import nbytes
from kernels.device import Array
from kernels.gpu.epilogue import Epilogue
from kernels.gpu.launch import contiguous, empty
from kernels.instance_norm.gradient import before_activation


@triton.jit
def halves(tile, BM: tl.constexpr, BN: tl.constexpr):
    """The left and the right half of a tile [BM,BN]: [BM,BN/2] each. Nothing moves, a thread holds parts of both."""
    return tl.split(tl.permute(tl.reshape(tile, (BM, 2, BN // 2)), (0, 2, 1)))


@triton.jit
def leave_sums(gradient, z, at, inside, mean, rstd, negative, partials, k, K: tl.constexpr):
    """Two sums over a tile of the gradient of what an instance norm with input z puts out: of g and of g x_hat.

    gradient   [BM,BN], the tile, float32             inside     [BM,BN], where it is: elsewhere 0 counts
    z          [N,P,Q,K], what was normalised         at         [BM,BN], where the tile lies in z, elements
    mean, rstd [K] each, of the tile's image          negative   the activation's slope below 0
    partials   [2,K], this tile's                     k          [BN], the tile's channels of K
    """
    x_hat = tl.load(z + at, mask=inside, other=0.0).to(tl.float32)  # [BM,BN]
    x_hat -= tl.load(mean + k, mask=k < K, other=0.0)[None, :]
    x_hat *= tl.load(rstd + k, mask=k < K, other=0.0)[None, :]
    gradient = tl.where(inside, before_activation(gradient, x_hat, negative), 0.0)  # [BM,BN]
    tl.store(partials + k, tl.sum(gradient, 0), mask=k < K)  # [BN]
    tl.store(partials + K + k, tl.sum(gradient * x_hat, 0), mask=k < K)  # [BN]


@triton.jit
def leave_moments(tile, inside, count, partials, k, K: tl.constexpr, EVEN: tl.constexpr = False):
    """Mean and sum of squared deviations of a tile [BM,BN], float32, whose `count` pixels are where `inside` [BM,BN] says.

    partials   [2,K], this tile's                     k          [BN], the tile's channels of K
    EVEN       whether it is inside everywhere
    """
    # Two passes over the tile while it is in registers: mean, then squares around it.
    mean = tl.sum(tile if EVEN else tl.where(inside, tile, 0.0), 0) / count  # [BN]
    delta = tile - mean[None, :]  # [BM,BN]
    if not EVEN:
        delta = tl.where(inside, delta, 0.0)
    tl.store(partials + k, mean, mask=k < K)
    tl.store(partials + K + k, tl.sum(delta * delta, 0), mask=k < K)


def epilogue_arguments(
    epilogue: Epilogue | None, y: Array, tiles: int
) -> tuple[Array | None, tuple, Array | None, int]:
    """What the kernels take for their epilogue: onto; z, mean, rstd and slope of a norm; room for its sums; bytes read.

    y [N,P,Q,K] is what they make, in so many tiles of pixels for each image.
    """
    onto, sums = (None, None) if epilogue is None else (epilogue.onto, epilogue.sums)
    (onto,) = contiguous(onto)
    if sums is None:
        return onto, (None, None, None, 1.0), None, nbytes(onto)
    sums.partials = empty(y, (len(y), tiles, 2, y.shape[3]), "float32")
    return onto, (*contiguous(sums.x, sums.mean, sums.rstd), sums.negative), sums.partials, nbytes(onto, sums.x)


def epilogue_in_words(epilogue: Epilogue | None) -> str:
    """What an epilogue does, in short: two that do the same need the same kernel."""
    return "" if epilogue is None else "onto " * (epilogue.onto is not None) + "sums" * (epilogue.sums is not None)
