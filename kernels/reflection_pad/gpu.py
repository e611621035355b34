"""Reflection padding on the GPU, both directions as a gather: every output element is written once, by one program.

Grid: one program for a run of pixels of one output row and a block of channels. Bytes: x and y once each; what is read
again at the edges comes from the cache. A convolution does not need this op: its kernel mirrors addresses instead.

Backward: pixel h of x appears in y at h + pad, and mirrored at pad - h if 1 <= h <= pad, and at pad + 2 (H - 1) - h if
H - 1 - pad <= h <= H - 2. Rows and columns on their own have up to three copies each, so a pixel collects up to nine.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.launch import contiguous, empty, launch
from kernels.reflection_pad.reference import check


@triton.jit
def mirror(i, n):
    """The row of n that row i is: itself, or from -(n - 1) to 2 (n - 1) its mirror image."""
    i = tl.where(i < 0, -i, i)  # no tl.abs: of that Triton forgets which of i are equal, and loads 2 bytes at a time
    return tl.where(i < n, i, 2 * n - 2 - i)


@triton.jit
def _copy_of(h, H, pad, COPY: tl.constexpr):
    """Where copy 0, 1 or 2 of row h lies in y, and whether there is one."""
    if COPY == 0:
        return h + pad, h >= 0
    if COPY == 1:
        return pad - h, (h >= 1) & (h <= pad)
    return pad + 2 * (H - 1) - h, (h >= H - 1 - pad) & (h <= H - 2)


@triton.jit
def _forward(x, y, H, W, C, pad, BW: tl.constexpr, BC: tl.constexpr):
    """Program (i, b, n) owns BW pixels of one row of image n of y [N,H+2 pad,W+2 pad,C], channels [b BC, (b + 1) BC): copies of x."""
    Q = W + 2 * pad
    q_blocks = tl.cdiv(Q, BW)
    i = tl.program_id(0) // q_blocks
    q = tl.program_id(0) % q_blocks * BW + tl.arange(0, BW)  # [BW]
    c = tl.program_id(1) * BC + tl.arange(0, BC)  # [BC]
    n = tl.program_id(2).to(tl.int64)
    inside = (q < Q)[:, None] & (c < C)[None, :]  # [BW,BC]
    source = (mirror(i - pad, H) * W + mirror(q - pad, W))[:, None] * C + c[None, :]  # [BW,BC]
    target = (i * Q + q)[:, None] * C + c[None, :]  # [BW,BC]
    value = tl.load(x + n * H * W * C + source, mask=inside, other=0.0)  # [BW,BC]
    tl.store(y + n * (H + 2 * pad) * Q * C + target, value, mask=inside)


@triton.jit
def _backward(dy, dx, H, W, C, pad, BW: tl.constexpr, BC: tl.constexpr):
    """Program (i, b, n) owns BW pixels of one row of image n of dx [N,H,W,C], channels [b BC, (b + 1) BC): up to nine of dy each."""
    P, Q = H + 2 * pad, W + 2 * pad
    w_blocks = tl.cdiv(W, BW)
    h = tl.program_id(0) // w_blocks
    w = tl.program_id(0) % w_blocks * BW + tl.arange(0, BW)  # [BW]
    c = tl.program_id(1) * BC + tl.arange(0, BC)  # [BC]
    n = tl.program_id(2).to(tl.int64)
    inside = (w < W)[:, None] & (c < C)[None, :]  # [BW,BC]
    total = tl.zeros((BW, BC), tl.float32)  # [BW,BC]
    for row_copy in tl.static_range(3):
        i, row_is = _copy_of(h, H, pad, row_copy)
        for column_copy in tl.static_range(3):
            j, column_is = _copy_of(w, W, pad, column_copy)
            at = (i * Q + j)[:, None] * C + c[None, :]  # [BW,BC]
            there = inside & (column_is & row_is)[:, None]
            total += tl.load(dy + n * P * Q * C + at, mask=there, other=0.0).to(tl.float32)
    tl.store(dx + n * H * W * C + (h * W + w)[:, None] * C + c[None, :], total, mask=inside)


def forward(x: Array, *, pad: int) -> Array:
    check(x.shape, pad)
    (x,) = contiguous(x)
    N, H, W, C = x.shape
    y = empty(x, (N, H + 2 * pad, W + 2 * pad, C))
    tile = _tile(C)
    # Program (i, b, n) owns BW pixels of one row of image n of y, channels [b BC, (b + 1) BC).
    grid = (y.shape[1] * triton.cdiv(y.shape[2], tile["BW"]), triton.cdiv(C, tile["BC"]), N)
    launch(_forward, grid, x, y, H, W, C, pad, **tile)
    return y


def backward(dy: Array, *, pad: int) -> Array:
    (dy,) = contiguous(dy)
    N, P, Q, C = dy.shape
    H, W = P - 2 * pad, Q - 2 * pad
    dx = empty(dy, (N, H, W, C))
    tile = _tile(C)
    # Program (i, b, n) owns BW pixels of one row of image n of dx, channels [b BC, (b + 1) BC).
    grid = (H * triton.cdiv(W, tile["BW"]), triton.cdiv(C, tile["BC"]), N)
    launch(_backward, grid, dy, dx, H, W, C, pad, **tile)
    return dx


def _tile(C: int) -> dict[str, int]:
    """As many channels as there are, up to 64, and pixels: 1024 elements, fewer where few channels mean short loads."""
    BC = min(triton.next_power_of_2(C), 64)
    return dict(BW=1024 // max(BC, 8), BC=BC)
