"""How Winograd's loops see a convolution: padding by table, strides by parity, channels in whole vectors.

At stride 2 a pixel meets only the taps of its own parity. So the picture is read as four, each with every second row and
column, the kernel as four too, and what they give is summed like channels: a 4x4 (or 3x3) kernel with C channels at
stride 2 is a 2x2 kernel with 4 C channels at stride 1. Of 3x3 taps the odd parity has one where the even one has two; its
last row or column of transformed weights is 0, and is not multiplied (winograd.py, `_span`).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from kernels.conv2d.direct import sources
from kernels.conv2d.geometry import Geometry
from kernels.cpu.compiler import subroutine
from kernels.cpu.gemm import LANES
from kernels.cpu.threads import empty, zeros
from kernels.device import Array

f4 = np.float32


class Layout(NamedTuple):
    """What the loops must know besides the arrays; numba takes it as it is."""

    rows: Array  # [stride,n] for each parity: the source of row i of the padded picture, or -1 where it is zero
    cols: Array
    P: int  # the output's rows and columns
    Q: int
    m: int  # side of a tile of the output
    down: int  # lines of tiles in a picture
    across: int  # tiles in a line
    stride: int
    narrow: bool  # odd parities lack the last tap
    apart: bool  # every second line of tiles meets rows of its own


@functools.lru_cache(1000)
def layout(H: int, W: int, R: int, geometry: Geometry) -> Layout:
    """For pictures of H x W and kernels of R x R."""
    stride, m = geometry.stride, tile(R, geometry.stride)
    (rows, P), (cols, Q) = (_maps(n, geometry, R) for n in (H, W))
    down, across = math.ceil(P / m), math.ceil(Q / m)
    return Layout(rows, cols, P, Q, m, down, across, stride, R % stride > 0, _apart(rows, down, m))


def tile(R: int, stride: int) -> int:
    """The side of a tile of the output."""
    return 7 - math.ceil(R / stride)


def _maps(size: int, geometry: Geometry, R: int) -> tuple[Array, int]:
    """Along one axis of a picture: each parity's map [stride,n] (see direct.py), with zeros up to whole tiles; and the pixels
    of the output."""
    source, stride = sources(size, geometry.padding, geometry.padding_mode), geometry.stride
    m = tile(R, stride)
    out = (len(source) - R) // stride + 1
    maps = np.full((stride, m * (math.ceil(out / m) - 1) + 6), -1)
    for a in range(stride):
        met = source[a::stride][: out + len(range(a, R, stride)) - 1]  # no tap meets those after
        maps[a, : len(met)] = met
    return maps, out


def _apart(rows: Array, lines: int, m: int) -> bool:
    """Whether no two lines of tiles but neighbours meet a row. Deep mirrors can throw the last line beyond its neighbour."""
    first = dict[int, int]()
    return all(
        line - first.setdefault(row, line) < 2
        for line in range(lines)
        for row in rows[:, m * line : m * line + 6].flat
        if row >= 0
    )


def folded(w: Array, channels: int, stride: int, turned: bool) -> Array:
    """w [R,R,C,K] -> [r,r,stride*stride*channels,K] with r = R / stride, rounded up: what tap and parity lack is 0.

    `turned`: [R,R,K,C] -> [r,r,K,stride*stride*channels].
    """
    axis = 3 if turned else 2
    if (channels, stride) == (w.shape[axis], 1):
        return w
    r = math.ceil(len(w) / stride)
    parts = zeros(r, r, *w.shape[2:axis], stride * stride, channels, *w.shape[axis + 1 :])
    for i, j in np.ndindex(*w.shape[:2]):
        at = block(i % stride, j % stride, stride)
        part = parts[i // stride, j // stride]
        (part[:, at, : w.shape[3]] if turned else part[at, : w.shape[2]])[...] = w[i, j]
    return parts.reshape(*parts.shape[:axis], -1, *w.shape[axis + 1 :])


def unfolded(w: Array, shape: tuple[int, ...], stride: int) -> Array:
    """The reverse of `folded`, for w of that shape [R,R,C,K]."""
    if w.shape == shape:
        return w
    out, parts = empty(*shape), w.reshape(*w.shape[:2], stride * stride, -1, w.shape[3])
    for i, j in np.ndindex(*shape[:2]):
        out[i, j] = parts[i // stride, j // stride, block(i % stride, j % stride, stride), : shape[2]]
    return out


@subroutine
def block(a, b, stride):
    """Where the channels of rows of parity a and columns of parity b lie: those of b = 0 side by side, and of a = 0 too."""
    return (1 + a + b * (2 * a - 1)) * (stride - 1)


def vectors(x: Array) -> Array:
    """x [N,H,W,C] with its channels filled up by zeros to whole vectors; itself where they are whole."""
    return x if x.shape[3] % LANES == 0 else np.pad(x, ((0, 0), (0, 0), (0, 0), (0, -x.shape[3] % LANES)))
