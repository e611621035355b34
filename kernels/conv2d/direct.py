"""Convolutions of any size and stride on the CPU, by BLAS, a block of pixels at a time.

The patches of a BLOCK of output pixels are laid side by side in a small buffer, multiplied by the weights, and
forgotten: the unfolded picture, R*S times as large as the picture, never exists. Three functions serve every layer:

    correlate         y[u,v] = sum over r,s of  x[u*stride + r, v*stride + s] @ w[r,s]
    transposed        its adjoint. Output pixels of one parity (row and column modulo the stride) meet only every
                      stride-th row and column of w, and are together an unstrided `correlate` with that part of w.
    weight_gradient   dw[r,s] = sum over u,v of  x[u*stride + r, v*stride + s]^T @ dy[u,v]

x is read through maps: `rows[i]` is the source of row i of the padded picture, or -1 where it is zero. So neither
zeros nor mirrored margins are ever stored.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from kernels.device import Array
from kernels.gemm import gemm
from kernels.threads import MACS, kernel, share

f4 = np.float32
BLOCK = 256
"""Pixels whose patches are multiplied together; a multiple of what BLAS's inner loop takes."""
DEPTH = 768
"""Length of the part of a patch that is multiplied at once, at most (but at least one row): the buffer fits in L2."""
FEW = 8
"""With fewer output channels than this BLAS would idle; see `_stamp`. With fewer input channels patches are laid out
the other way round, one row for each number in a patch and one column for each pixel, so that copies are long."""


@functools.lru_cache(1000)
def sources(size: int, padding: int, mode: str) -> Array:
    """For each row of a picture of `size` rows padded by `padding`: its source, or -1 for zero."""
    i = np.arange(-padding, size + padding)
    if mode == "reflect":
        i = abs(i)
        return np.where(i < size, i, 2 * size - 2 - i)
    return np.where((i >= 0) & (i < size), i, -1)


def correlate(
    x: Array, w: Array, b: Array | None, rows: Array, cols: Array, stride: int, out: Array, start: tuple[int, int] = (0, 0), step: int = 1
) -> None:  # fmt: skip
    """x [N,H,W,C] with w [R,S,C,K], b [K] -> pixels start, start + step, ... of out [N,P,Q,K]."""
    R, S, C, K = w.shape
    N = x.shape[0]
    P, Q = (len(range(o, n, step)) for o, n in zip(start, out.shape[1:3], strict=True))
    b = np.zeros(K, f4) if b is None else b
    work = N * P * Q * R * S * C * K // MACS
    if K < FEW <= C:
        stamps = np.ascontiguousarray(w.transpose(0, 1, 3, 2))  # [R,S,K,C]
        # Each block of rows multiplies R - 1 rows that the next one multiplies again.
        lines = max(math.ceil(P / 8), min(P, 2 * R))
        share(_stamp, N * math.ceil(P / lines), work, lines, x, stamps, b, rows, cols, stride, out, P, Q, start, step)
        return
    size = max(32, min(BLOCK, math.ceil(N * P * Q / 8)))
    group = max(1, min(R, DEPTH // (S * C)))
    share(
        _gather, math.ceil(N * P * Q / size), work, size, group, S, C < FEW, _planes(x, rows, cols), np.ascontiguousarray(w).reshape(-1, K), b, rows,
        cols, stride, out, P, Q, start, step,
    )  # fmt: skip


def transposed(x: Array, w: Array, b: Array | None, stride: int, padding: int, out: Array) -> None:
    """x [N,H,W,C] stamped with w [R,S,C,K], `stride` apart, `padding` pixels cut off -> out [N,P,Q,K]."""
    for start in np.ndindex(stride, stride):
        (r, rows), (s, cols) = (
            _parity(a, padding, stride, taps, n, m)
            for a, taps, n, m in zip(start, w.shape, x.shape[1:3], out.shape[1:3], strict=False)
        )
        part = w[r, s]
        if part.size:
            correlate(x, part, b, rows, cols, 1, out, start, stride)
        else:
            out[:, start[0] :: stride, start[1] :: stride] = 0 if b is None else b


@functools.lru_cache(1000)
def _parity(a: int, padding: int, stride: int, taps: int, size: int, length: int) -> tuple[slice, Array]:
    """The taps that meet output rows a, a + stride, ..., last one first, and the map of the input rows they read."""
    first = (a + padding) % stride
    count = len(range(first, taps, stride))
    offset = (a + padding) // stride - (count - 1)
    i = np.arange(offset, offset + len(range(a, length, stride)) + count - 1)
    backwards = slice(first + stride * (count - 1), first - 1 if first else None, -stride) if count else slice(0, 0)
    return backwards, np.where((i >= 0) & (i < size), i, -1)


def weight_gradient(x: Array, dy: Array, kernel: tuple[int, int], rows: Array, cols: Array, stride: int) -> Array:
    """x [N,H,W,C] and dy [N,P,Q,K] -> dw [R,S,C,K]."""
    (R, S), C, K = kernel, x.shape[3], dy.shape[3]
    pixels = dy.size // K
    group = max(1, min(R, DEPTH // (S * C)))
    tasks = math.ceil(R / group)
    splits = max(1, min(math.ceil(8 / tasks), pixels // BLOCK))  # by shape alone: the sums' order never changes
    partial = np.empty((splits, R, S, C, K), f4)
    share(
        _patch_products, splits * tasks, pixels * R * S * C * K // MACS, splits, group, C < FEW, _planes(x, rows, cols), dy.reshape(-1, K),
        dy.shape[1:3], rows, cols, stride, partial,
    )  # fmt: skip
    return partial.sum(axis=0) if splits > 1 else partial[0]


def _planes(x: Array, rows: Array, cols: Array) -> Array:
    """The padded picture, channels first, [N,C,rows,cols], if there are few channels; else x itself."""
    if x.shape[3] >= FEW:
        return x
    planes = np.empty((x.shape[0], x.shape[3], len(rows), len(cols)), f4)
    share(_plane, x.shape[0] * len(rows), planes.size, x, rows, cols, planes)
    return planes


@kernel
def _plane(first, last, x, rows, cols, planes):
    for line in range(first, last):
        n, i = line // rows.size, line % rows.size
        for c in range(x.shape[3]):
            for j in range(cols.size):
                planes[n, c, i, j] = x[n, rows[i], cols[j], c] if rows[i] >= 0 and cols[j] >= 0 else f4(0)


@kernel
def _plane_patches(m, count, P, Q, r, group, S, planes, stride, buffer):
    """The same as `_patches` from planes -> buffer [group,S,C,count]"""
    k = 0
    while k < count:  # as many pixels as are left of a row
        n, p, q = (m + k) // (P * Q), (m + k) // Q % P, (m + k) % Q
        width = min(Q - q, count - k)
        for i in range(group):
            for s in range(S):
                for c in range(planes.shape[1]):
                    source = planes[n, c, p * stride + r + i, q * stride + s :]
                    target = buffer[i, s, c, k : k + width]
                    if stride == 1:
                        for j in range(width):
                            target[j] = source[j]
                    else:
                        for j in range(width):
                            target[j] = source[j * stride]
        k += width


@kernel
def _patches(m, count, P, Q, r, group, S, x, rows, cols, stride, buffer):
    """Rows r .. r+group of the patches of output pixels m .. m+count, side by side -> buffer [count,group,S,C]"""
    C = x.shape[3]
    for k in range(count):
        n, p, q = (m + k) // (P * Q), (m + k) // Q % P, (m + k) % Q
        left, right = cols[q * stride], cols[q * stride + S - 1]
        together = left >= 0 and right - left == S - 1
        for i in range(group):
            row = rows[p * stride + r + i]
            if row >= 0 and together:
                source = x[n, row].reshape(-1)[left * C : left * C + S * C]
                target = buffer[k, i].reshape(-1)
                for c in range(S * C):
                    target[c] = source[c]
            else:
                for s in range(S):
                    col = cols[q * stride + s]
                    for c in range(C):
                        buffer[k, i, s, c] = x[n, row, col, c] if row >= 0 and col >= 0 else f4(0)


@kernel
def _gather(first, last, size, group, S, planar, x, w, b, rows, cols, stride, out, P, Q, start, step):
    """Each task makes `size` output pixels."""
    C, K = x.shape[1] if planar else x.shape[3], w.shape[1]
    R = w.shape[0] // (S * C)
    acc = np.empty((size, K), f4)
    buffer = np.empty(size * group * S * C, f4)
    for task in range(first, last):
        m = task * size
        count = min(size, x.shape[0] * P * Q - m)
        for r in range(0, R, group):
            g = min(group, R - r)
            patches = buffer[: count * g * S * C]
            if planar:
                _plane_patches(m, count, P, Q, r, g, S, x, stride, patches.reshape(g, S, C, count))
            else:
                _patches(m, count, P, Q, r, g, S, x, rows, cols, stride, patches.reshape(count, g, S, C))
            lda = count if planar else g * S * C
            gemm(planar, 0, count, K, g * S * C, patches, lda, w[r * S * C :], K, int(r > 0), acc, K)
        for k in range(count):
            n, p, q = (m + k) // (P * Q), (m + k) // Q % P, (m + k) % Q
            i, j = start[0] + p * step, start[1] + q * step
            for c in range(K):
                out[n, i, j, c] = acc[k, c] + b[c]


@kernel
def _stamp(first, last, lines, x, w, b, rows, cols, stride, out, P, Q, start, step):
    """Few output channels: first every pixel times all taps, [R*S*K,C] x [C,pixels], then the taps added where they belong.

    w [R,S,K,C]. Each task makes `lines` rows of the output.
    """
    (R, S, K, C), columns = w.shape, (Q - 1) * stride + w.shape[1]
    line = np.empty((columns, C), f4)
    products = np.empty((R, S, K, columns), f4)
    acc = np.empty((lines, K, Q), f4)
    blocks = (P + lines - 1) // lines
    for task in range(first, last):
        n, top = task // blocks, task % blocks * lines
        bottom = min(P, top + lines)
        acc[:] = f4(0)
        for i in range(top * stride, (bottom - 1) * stride + R):
            if rows[i] < 0:
                continue
            for j in range(columns):
                for c in range(C):
                    line[j, c] = x[n, rows[i], cols[j], c] if cols[j] >= 0 else f4(0)
            gemm(0, 1, R * S * K, columns, C, w, C, line, C, 0, products, columns)
            for r in range(R):
                p = (i - r) // stride
                if (i - r) % stride == 0 and top <= p < bottom:
                    for s in range(S):
                        for k in range(K):
                            if stride == 1:
                                for q in range(Q):
                                    acc[p - top, k, q] += products[r, s, k, s + q]
                            else:
                                for q in range(Q):
                                    acc[p - top, k, q] += products[r, s, k, s + q * stride]
        for p in range(top, bottom):
            for q in range(Q):
                for k in range(K):
                    out[n, start[0] + p * step, start[1] + q * step, k] = acc[p - top, k, q] + b[k]


@kernel
def _patch_products(first, last, splits, group, planar, x, dy, size, rows, cols, stride, partial):
    """Each task sums patches^T @ dy over its share of the pixels, for `group` rows of the kernel."""
    (_, R, S, C, K), pixels = partial.shape, dy.shape[0]
    buffer = np.empty(2 * BLOCK * group * S * C, f4)
    for task in range(first, last):
        split, r = task % splits, task // splits * group
        g = min(group, R - r)
        start, end = pixels * split // splits, pixels * (split + 1) // splits
        for m in range(start, end, 2 * BLOCK):
            count = min(2 * BLOCK, end - m)
            patches = buffer[: count * g * S * C]
            if planar:
                _plane_patches(m, count, size[0], size[1], r, g, S, x, stride, patches.reshape(g, S, C, count))
            else:
                _patches(m, count, size[0], size[1], r, g, S, x, rows, cols, stride, patches.reshape(count, g, S, C))
            lda = count if planar else g * S * C
            gemm(not planar, 0, g * S * C, K, count, patches, lda, dy[m:], K, int(m > start), partial[split, r], K)
