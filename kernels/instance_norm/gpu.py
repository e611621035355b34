"""Instance normalisation on the GPU: two launches forward, two backward.

The picture of one image is a matrix [pixels, C]. Grid of every launch: one program for a tile of consecutive pixels, a
block of up to 64 channels, and one image. normalise.py has the forward's kernels, gradient.py the backward's, partials.py what tiles leave
for all: where they are more than 128, as behind convolutions of large pictures, one more launch makes them fewer.

Bytes: forward x twice, y, skip; backward x and dy twice, dx. Where a convolution leaves the partials (its epilogue has the
tile in registers), the first launch and its reading are saved: forward by starting at `normalise`, backward by `sums`.

conditional_instance_norm runs the same kernels with a scale and a shift [N,C] ahead of the activation.
"""

from __future__ import annotations

from kernels.device import Array
from kernels.gpu.epilogue import Sums
from kernels.gpu.launch import contiguous
from kernels.instance_norm.gradient import gradient
from kernels.instance_norm.normalise import moments, normalise
from kernels.instance_norm.settings import NormSettings

SUMS = True  # `backward` takes them


def forward(x: Array, skip: Array | None = None, *, norm: NormSettings, **style: Array) -> tuple[Array, Array, Array]:
    """`style` is a scale and a shift [N,C], or nothing."""
    (x,) = contiguous(x)
    return normalise(x, *moments(x), skip, norm, **style)


def backward(dy: Array, x: Array, mean: Array, rstd: Array, *, norm: NormSettings, sums: Sums | None = None) -> Array:
    """dx. Where dy's maker has left its sums, one launch."""
    return gradient(dy, x, mean, rstd, norm, sums=sums)
