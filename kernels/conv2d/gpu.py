"""Convolution on the GPU: three implicit matrix products; see kernels/conv2d/implicit_gemm.py for the first two.

    y  = correlate(x, w)          one launch
    dx = spread(dy, w)            one launch; two where the picture was mirrored (kernels/conv2d/reflect_halo.py)
    dw[(r,s,c),k] = sum over pixels (n,p,q) of  x[n, p*stride + r - pad, q*stride + s - pad, c] * dy[n,p,q,k]

The third has its long side, thousands of pixels, in the reduction, and few tiles: 36 of 128x128 for a residual layer,
where an H100 has 132 multiprocessors. So the pixels are split into runs where that pays (`_runs`); each program leaves a
float32 partial for its run, and a second launch adds the runs in order. Atomics would save that launch and give other
bits each time. The bias is a weight whose input is always 1: its gradient is one more row, (r,s,c) = R*S*C.

What is slow: 3 channels under a 7x7 kernel. In y and dw of the head a tile is 16 wide at least, and x is read anew for each
of 49 taps, 411 MB from the L2 cache for a picture of 256x256x64 in bf16; dx of the stem meets 49 taps likewise.

Grid: rows of dw x columns of dw x runs of pixels, for each group's weight. A run lies in one group. Bytes: x, dy, and the partials written and read once. x is read again
for each tap, and dy for each tile of rows, from the L2 cache: the largest, 256x256x64, has 8 MB in bf16.
"""

from __future__ import annotations

import functools
from typing import Any

import triton
import triton.language as tl

from kernels.add import gpu as add
from kernels.conv2d.implicit_gemm import (
    PROGRAMS,
    _strides,
    candidates,
    correlate,
    full_float32,
    load,
    spread,
    step,
    tap_and_channel,
)
from kernels.conv2d.reference import check
from kernels.conv2d.reflect_halo import extended, fits
from kernels.conv2d.stacked import groups
from kernels.device import Array
from kernels.gpu.autotune import Tiles, pick
from kernels.gpu.epilogue import Epilogue
from kernels.gpu.launch import contiguous, empty, input_precision, launch
from kernels.reflection_pad import gpu as reflection_pad
from kernels.reflection_pad.gpu import _mirror
from kernels.reflection_pad.reference import check as check_mirror

GROUPED = EPILOGUE = True


@triton.jit
def _weights(
    x, dy, partials, H, W, Q, pitch, area, pixels, total, run, runs, groups,
    CHANNELS: tl.constexpr, OUT: tl.constexpr, LENGTH: tl.constexpr, S: tl.constexpr, BIAS: tl.constexpr,
    W_IN: tl.constexpr, W_OUT: tl.constexpr, STRIDE: tl.constexpr, PAD: tl.constexpr,
    REFLECT: tl.constexpr, EVEN: tl.constexpr, PRECISION: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    z, group = tl.program_id(2) % runs, (tl.program_id(2) // runs).to(tl.int64)
    x += group * (total // pixels * H * W * CHANNELS)
    dy += group * (total // pixels * area * OUT)
    flat, tap, channel = tap_and_channel(tl.program_id(0) * BM, CHANNELS, BM)  # the rows of dw
    r, s = tap // S, tap % S
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    end = tl.minimum((z + 1) * run, total)
    for start in range(z * run, end, BK):
        pixel = start + tl.arange(0, BK)
        n, at = pixel // pixels, pixel % pixels
        row, column = (at // Q * STRIDE - PAD)[:, None] + r, (at % Q * STRIDE - PAD)[:, None] + s  # [BK,1] or [BK,BM]
        there = (pixel < end)[:, None] & (flat < LENGTH)[None, :]
        if REFLECT:
            row, column = _mirror(row, H), _mirror(column, W)
        else:
            there = there & (row >= 0) & (row < H) & (column >= 0) & (column < W)
        image = x + (n.to(tl.int64) * (H * W * CHANNELS))[:, None]
        masked: tl.constexpr = not EVEN or LENGTH % BM != 0 or CHANNELS % BM != 0 or BIAS or not REFLECT
        a = load(image + (row * W + column) * CHANNELS + channel[None, :], there, masked)  # [BK,BM]
        if BIAS:
            a = tl.where((flat == LENGTH)[None, :], 1.0, a.to(tl.float32)).to(dy.dtype.element_ty)
        b_at = (n.to(tl.int64) * area + at // Q * pitch + at % Q)[:, None] * OUT + o[None, :]
        b_is = (pixel < end)[:, None] & (o < OUT)[None, :]
        b = load(dy + b_at, b_is, not EVEN or OUT % BN != 0)  # [BK,BN]
        acc = tl.dot(tl.trans(a), b, acc, input_precision=PRECISION)
    at = (tap * (CHANNELS * OUT) + channel * W_IN)[:, None] + o[None, :] * W_OUT
    partials += z.to(tl.int64) * groups * ((LENGTH + BIAS) * OUT) + group * (LENGTH * OUT)
    if BIAS:  # whose gradients stand together behind the last group's weights
        bias_at = (groups - group) * (LENGTH * OUT) + group * OUT + o
        at = tl.where((flat == LENGTH)[:, None], bias_at[None, :], at)
    inside = (flat < LENGTH + BIAS)[:, None] & (o < OUT)[None, :]
    tl.store(partials + at, acc, mask=inside)


@triton.jit
def _add_runs(partials, total, count, runs, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(partials + at, mask=at < count, other=0.0)
    for _ in range(1, runs):
        partials += count
        value += tl.load(partials + at, mask=at < count, other=0.0)
    tl.store(total + at, value, mask=at < count)


def forward(
    x: Array, w: Array, b: Array | None = None, *, stride: int = 1, padding: int = 0, padding_mode: str = "zeros"
) -> Array:
    x, w, b = contiguous(x, w, b)
    reflect = mirrored(x, w, padding, padding_mode)
    P, Q = output_size(x.shape, w.shape, stride, padding)
    geometry: dict[str, Any] = dict(stride=stride, padding=padding, reflect=reflect)
    return correlate(x, w, b, (P, Q), **geometry)[0]


def backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    padding_mode: str = "zeros",
    need: tuple[bool, bool, bool] = (True, True, True),
    epilogue: Epilogue | None = None,
) -> tuple[Array | None, Array | None, Array | None]:
    dy, x, w = contiguous(dy, x, w)
    geometry: dict[str, Any] = dict(stride=stride, padding=padding, reflect=mirrored(x, w, padding, padding_mode))
    dx = dw = db = None
    if need[0]:
        dx = input_gradient(dy, w, x.shape[1:3], epilogue=epilogue, **geometry)
    if need[1] or need[2]:
        dw, db = weight_gradient(x, dy, w.shape[-4:-2], groups(x, w), bias=need[2], **geometry)
        dw, db = unstacked(w, dw, db)
    return dx, dw if need[1] else None, db


def input_gradient(
    dy: Array, w: Array, size: tuple[int, int], *,
    stride: int, padding: int, reflect: bool, extended_by: int = 0, epilogue: Epilogue | None = None,
) -> Array:  # fmt: skip
    """dx [N,*size,C] from dy [N,P,Q,K], which may be extended already."""
    if not reflect or not padding:
        return spread(dy, w, None, size, stride=stride, padding=padding, swap=True, epilogue=epilogue)
    if fits(w.shape[-4:-2], padding, stride):
        dy = dy if extended_by else extended(dy, padding)
        return spread(dy, w, None, size, stride=1, padding=padding, mirrored=True, swap=True, epilogue=epilogue)
    # No network of ours has such a layer: by way of the padded picture, and what an epilogue does comes after.
    H, W = size
    padded = spread(dy, w, None, (H + 2 * padding, W + 2 * padding), stride=stride, padding=0, swap=True)
    dx = reflection_pad.backward(padded, pad=padding)
    return dx if epilogue is None or epilogue.onto is None else add.forward(dx, epilogue.onto)


def weight_gradient(
    x: Array, dy: Array, kernel: tuple[int, int], count: int = 1, *,
    stride: int, padding: int, reflect: bool = False, bias: bool = False, swap: bool = False, extended_by: int = 0,
    tiles: Tiles | None = None,
) -> tuple[Array, Array | None]:  # fmt: skip
    """dw [G,*kernel,C,K] (with `swap` [G,*kernel,K,C]) and db [G,K] (or None) for a `count` of G groups.

    x [N,H,W,C] and dy [N,P,Q,K] are contiguous; their g-th parts give dw[g]. dy may be extended (kernels/conv2d/reflect_halo.py) by so
    many rows and columns, which are left out.
    """
    (_, H, W, C), (N, rows, pitch, K), (R, S) = x.shape, dy.shape, kernel
    P, Q = rows - extended_by, pitch - extended_by
    length = R * S * C
    total = N // count * P * Q
    how: dict[str, Any] = dict(stride=stride, padding=padding, reflect=reflect, bias=bias, swap=swap)
    tiles = tiles or pick(
        _weights, (x.dtype, input_precision(), *x.shape, *dy.shape, *kernel, count, *how.values(), extended_by),
        candidates(choose_weight_tiles(K, C, x)),
        lambda t: weight_gradient(x, dy, kernel, count, **how, extended_by=extended_by, tiles=t),
    )  # fmt: skip
    grid = triton.cdiv(length + bias, tiles["BM"]), triton.cdiv(K, tiles["BN"])
    run, runs = _split(total, grid[0] * grid[1] * count, tiles["BK"])
    size = count * (length + bias) * K
    partials = empty(x, (runs, size), "float32")
    # Program (i, k, (g, z)) owns rows [i BM, (i + 1) BM) and columns [k BN, (k + 1) BN) of group g's partial z, from the
    # group's pixels [z run, (z + 1) run).
    launch(
        _weights, (*grid, count * runs), x, dy, partials, H, W, Q, pitch, rows * pitch, P * Q, total, run, runs, count,
        flops=2 * length * K * N * P * Q, CHANNELS=C, OUT=K, LENGTH=length, S=S, BIAS=bias, **_strides(C, K, swap),
        STRIDE=stride, PAD=padding, REFLECT=reflect,
        EVEN=total % tiles["BK"] == 0, PRECISION=input_precision(), **tiles,
    )  # fmt: skip
    dw = partials[0]
    if runs > 1:
        dw = empty(x, (size,), "float32")
        # Program i owns elements [512 i, 512 (i + 1)) and adds the runs' partials to them in order.
        launch(_add_runs, (triton.cdiv(size, 512),), partials, dw, size, runs, BLOCK=512)
    weights = count * length * K
    shape = (count, R, S, K, C) if swap else (count, R, S, C, K)
    return dw[:weights].reshape(shape), dw[weights:].reshape(count, K) if bias else None


def choose_weight_tiles(N: int, C: int, like: Array) -> Tiles:
    """Tile [BM,BN] of dw for N columns and rows of C channels, steps of BK pixels, and warps."""
    # A tile's rows lie in one tap where 128 or 64 divide C. In full float32 registers limit the tile to 64x64.
    BN = min(64 if full_float32(like) else 128, max(16, triton.next_power_of_2(N)))
    BM = 128 if C % 128 == 0 and BN == 128 else 64
    warps = 8 if BN == 128 or str(like.dtype) == "float32" else 4  # float32 x is turned around in registers
    stages = 2 if full_float32(like) and C % 16 else 3  # a gather across taps, and no tensor cores: registers again
    return dict(BM=BM, BN=BN, BK=step(like) if C % 16 == 0 else min(step(like), 32), num_warps=warps, num_stages=stages)


@functools.cache
def _split(total: int, tiles: int, BK: int) -> tuple[int, int]:
    """Pixels of a run (a multiple of BK) and runs, for `total` pixels and as many programs per run as `tiles`.

    Time, in pixels that one program handles: waves of programs times a run's pixels. More than one run costs a launch
    (600 pixels of a 128x128 tile in bf16 take 2 us on an H100) and the partials' way to memory and back (12 per tile). Two
    runs of 72 tiles take two waves of 132 programs, as long as one run takes in one wave; 72 stay one run.
    """

    def cost(runs: int) -> float:
        return triton.cdiv(tiles * runs, PROGRAMS) * total / runs + (600 + 12 * tiles * runs if runs > 1 else 0)

    runs = min(range(1, max(1, min(PROGRAMS, total // (2 * BK))) + 1), key=cost)
    run = triton.cdiv(triton.cdiv(total, runs), BK) * BK
    return run, triton.cdiv(total, run)


def unstacked(w: Array, *gradients: Array | None) -> list[Array | None]:
    """Gradients [G,...] as w wants them: without the G if it is no stack."""
    return [g if g is None or w.ndim == 5 else g[0] for g in gradients]


def mirrored(x: Array, w: Array, padding: int, padding_mode: str) -> bool:
    """Whether the margin is mirrored. ValueError or TypeError where the shapes or dtypes do not fit."""
    check(x, w if w.ndim == 4 else w[0], padding)
    if padding_mode == "reflect":
        check_mirror(x.shape, padding)
    return padding_mode == "reflect"


def output_size(x: tuple[int, ...], w: tuple[int, ...], stride: int, padding: int) -> tuple[int, int]:
    """(P, Q)"""
    return (x[1] + 2 * padding - w[-4]) // stride + 1, (x[2] + 2 * padding - w[-3]) // stride + 1
