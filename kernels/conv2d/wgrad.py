"""wgrad: the gradient of a convolution's weight, dw, and of its bias; see implicit_gemm.py.

    dw[(r,s,c),k] = sum over pixels (n,p,q) of  x[n, p*stride + r - pad, q*stride + s - pad, c] * dy[n,p,q,k]

Its long side, thousands of pixels, is in the reduction, and it has few tiles: 36 of 128x128 for a residual layer, where an
H100 has 132 multiprocessors. So the pixels are cut into slices where that pays (split-K, `_split`): each program leaves a
float32 partial for its slice, and a second launch adds the slices in order. Atomics would save that launch and give other
bits each time. The bias is a weight whose input is always 1: its gradient is one more row, (r,s,c) = R*S*C.

Where slices do not pay, layers that are alike may share a launch (autograd/fusion.py), which adds in the same order.

Grid: rows of dw x columns of dw x slices of pixels, for each weight of a stack and each layer; a slice's pixels meet one weight.
Bytes: x, dy, and the partials written and read once. x is read again for each tap, and dy for each tile of rows, from the
L2 cache: the largest, 256x256x64, has 8 MB in bf16.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import triton
import triton.language as tl

from kernels.conv2d.geometry import Geometry
from kernels.conv2d.implicit_gemm import (
    PROGRAMS,
    candidates,
    full_float32,
    load,
    nbytes,
    step,
    tap_and_channel,
    weight_strides,
)
from kernels.device import Array, address
from kernels.gpu.autotune import Tiles, pick
from kernels.gpu.epilogue import Deferred
from kernels.gpu.launch import cdiv, dtype_name, empty, input_precision, launch
from kernels.gpu.multi_tensor import address_table, wide
from kernels.reflection_pad.gpu import mirror


@triton.jit
def _pixels(start, n, p, q, pixels, Q, ROW: tl.constexpr, BK: tl.constexpr):
    """Image, row and column of pixels start, start + 1, ... of dy: [BK,1] each, but where they lie in one ROW one image, one row.

    Its first pixel is (n, p, q). Nothing is divided then; for pixels anywhere that takes more instructions than all else
    in the loop. So rows may be filled up to a multiple of BK, and Q is the number of columns that are walked over.
    """
    lane = tl.arange(0, BK)[:, None]  # [BK,1]
    if ROW:
        q += lane
    else:
        n, at = (start + lane) // pixels, (start + lane) % pixels
        p, q = at // Q, at % Q
    return n, p, q


@triton.jit
def _next_block(n, p, q, pixels, Q, BK: tl.constexpr):
    """Image, row and column of the pixel that lies BK behind (n, p, q), where BK divides rows of Q."""
    q += BK
    p = tl.where(q == Q, p + 1, p)
    q = tl.where(q == Q, 0, q)
    n = tl.where(p * Q == pixels, n + 1, n)
    return n, tl.where(p * Q == pixels, 0, p), q


@triton.jit
def _wgrad(
    x, dy, partials, layers, H, W, Q, walked, width, area, pixels, total, each, slices, stack,
    C: tl.constexpr, K: tl.constexpr, R: tl.constexpr, S: tl.constexpr, W_C: tl.constexpr, W_K: tl.constexpr,
    STRIDE: tl.constexpr, PAD: tl.constexpr, SIDE: tl.constexpr, REFLECT: tl.constexpr, BIAS: tl.constexpr,
    ROW: tl.constexpr, EDGE: tl.constexpr, PRECISION: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Program (i, j, (l, g, z)) owns rows [i BM, (i + 1) BM) and columns [j BN, (j + 1) BN) of partial z of layer l's weight g.

    Summed in float32: the pixels of slice z of the images that meet weight g, image by image, row by row, BK at a time.

    x          [N,H,W,C]
    dy         [N,P,Q,K], with rows or columns behind each image that are left out: see width and area
    partials   [slices,G R S C K + G K] float32, written: every weight's gradient, laid out as W_C says, then every bias's
    layers     [L,3] int64: addresses of x, dy and partials of each layer, where there are several
    H, W       rows and columns of x, pixels
    Q          columns of dy, pixels
    walked     columns that are walked over: Q, or with ROW that filled up to a multiple of BK
    width      pixels from one row of dy to the next
    area       pixels from one image of dy to the next
    pixels     of an image that are walked over: P walked
    total      such pixels of all images that meet one weight
    each       pixels of a slice
    slices     of the pixels that meet one weight
    stack      weights: G
    C, K       channels of x and of dy
    R, S       rows and columns of the kernel: together with C, the rows (r,s,c) of dw
    W_C, W_K   how far apart in dw, in elements, neighbouring channels of x and of dy are
    STRIDE     pixels of x between neighbours of dy
    PAD, SIDE  pixels above and below x, on its left and right: 0, or mirrored where REFLECT
    BIAS       whether there is a bias, the row R S C
    ROW        whether the pixels of a step lie in one row
    EDGE       whether with ROW some of them lie beyond its end, and are masked
    PRECISION  of a product of float32: "tf32" or "ieee"
    BM, BN, BK rows and columns of a tile; pixels of a step along the reduction
    """
    ROWS: tl.constexpr = R * S * C
    z, g = tl.program_id(2) % slices, tl.program_id(2) // slices
    if layers is not None:
        layers, g = layers + 3 * (g // stack), g % stack
        x, dy = wide(tl.load(layers), x.dtype.element_ty), wide(tl.load(layers + 1), dy.dtype.element_ty)
    g = g.to(tl.int64)
    images = (total // pixels).to(tl.int64)  # with the same weight; what is multiplied by it may pass 2^31
    x += g * (images * (H * W * C))
    dy += g * (images * (area * K))
    flat, tap, c = tap_and_channel(tl.program_id(0) * BM, C, BM)  # [BM], [] or [BM], [BM]: the rows of dw
    r, s = tap // S, tap % S
    k = tl.program_id(1) * BN + tl.arange(0, BN)  # [BN]
    acc = tl.zeros((BM, BN), tl.float32)  # [BM,BN]
    first, end = z * each, tl.minimum((z + 1) * each, total)
    n, p, q = first // pixels, first % pixels // walked, first % pixels % walked
    for start in range(first, end, BK):
        image, i, j = _pixels(start, n, p, q, pixels, walked, ROW, BK)  # [BK,1], or [], [], [BK,1]
        counts = j < Q if ROW else (start + tl.arange(0, BK) < end)[:, None]  # [BK,1]
        row, column = i * STRIDE - PAD + r, j * STRIDE - SIDE + s  # [BK,1] or [BK,BM]; row [] or [BM]
        there = counts & (flat < ROWS)[None, :]  # [BK,BM]
        if REFLECT:
            row, column = mirror(row, H), mirror(column, W)
        else:
            there = there & (row >= 0) & (row < H) & (column >= 0) & (column < W)
        masked: tl.constexpr = not ROW or EDGE or ROWS % BM != 0 or C % BM != 0 or BIAS or not REFLECT
        a_at = (row * W + column) * C + c[None, :]  # [BK,BM]
        a = load(x + image.to(tl.int64) * (H * W * C) + a_at, there, masked)  # [BK,BM]
        if BIAS:
            a = tl.where((flat == ROWS)[None, :], 1.0, a.to(tl.float32)).to(dy.dtype.element_ty)
        b_at = (i * width + j) * K + k[None, :]  # [BK,BN]
        b = load(
            dy + image.to(tl.int64) * (area * K) + b_at, counts & (k < K)[None, :], not ROW or EDGE or K % BN != 0
        )  # [BK,BN]
        acc = tl.dot(tl.trans(a), b, acc, input_precision=PRECISION)  # [BM,BN]
        n, p, q = _next_block(n, p, q, pixels, walked, BK)
    at = (tap * (C * K) + c * W_C)[:, None] + k[None, :] * W_K  # [BM,BN]
    if layers is not None:  # only now: registers are few in the loop
        partials = wide(tl.load(layers + 2), tl.float32)
    partials += z.to(tl.int64) * stack * ((ROWS + BIAS) * K) + g * (ROWS * K)
    if BIAS:  # whose gradients stand together behind the last weight's
        bias_at = (stack - g) * (ROWS * K) + g * K + k  # [BN]
        at = tl.where((flat == ROWS)[:, None], bias_at[None, :], at)
    inside = (flat < ROWS + BIAS)[:, None] & (k < K)[None, :]  # [BM,BN]
    tl.store(partials + at, acc, mask=inside)


@triton.jit
def _sum_slices(partials, total, count, slices, BLOCK: tl.constexpr):
    """total [count] = partials [slices,count] summed in the order of the slices; a program owns BLOCK elements."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    value = tl.load(partials + at, mask=at < count, other=0.0)
    for _ in range(1, slices):
        partials += count
        value += tl.load(partials + at, mask=at < count, other=0.0)
    tl.store(total + at, value, mask=at < count)


def sum_slices(partials: Array) -> Array:
    """[size] float32 from [slices,size]: one launch, or none where there is but one slice."""
    slices, size = partials.shape
    if slices == 1:
        return partials[0]
    total = empty(partials, (size,))
    # Program i owns elements [512 i, 512 (i + 1)) and adds the slices' partials to them in order.
    launch(_sum_slices, (cdiv(size, 512),), partials, total, size, slices, BLOCK=512)
    return total


class Kind(NamedTuple):
    """What layers whose gradients one launch makes have in common, beside shapes; see `wgrad`. `each`: pixels of a slice."""

    kernel: tuple[int, int]
    geometry: Geometry
    stack: int
    bias: bool
    swapped: bool
    halo: int
    each: int


def wgrad(
    x: Array, dy: Array, kernel: tuple[int, int], geometry: Geometry, *,
    stack: int = 1, bias: bool = False, swapped: bool = False, halo: int = 0, tiles: Tiles | None = None,
    deferred: Deferred | None = None,
) -> tuple[Array, Array | None]:  # fmt: skip
    """dw [G,*kernel,C,K] (`swapped`: [G,*kernel,K,C]) and db [G,K] (or None) for a `stack` of G weights.

    x [N,H,W,C] and dy [N,P,Q,K] are contiguous; those of their images that meet weight g give dw[g]. dy may have a halo of so many
    rows and columns (reflect_halo.py), which are left out. With `deferred` the results may hold noise until that has finished.
    """
    C, (N, rows, width, K), (R, S) = x.shape[3], dy.shape, kernel
    length = R * S * C
    tiles = tiles or pick(
        _wgrad,
        (x.dtype, input_precision(), *x.shape, *dy.shape, *kernel, stack, *vars(geometry).values(), bias, swapped, halo),
        choose_wgrad_tiles(K, C, width - halo, x),
        candidates,
        lambda t: wgrad(x, dy, kernel, geometry, stack=stack, bias=bias, swapped=swapped, halo=halo, tiles=t),
    )  # fmt: skip
    total = N // stack * (rows - halo) * walked(width - halo, tiles["BK"])[0]
    each, slices = _split(total, cdiv(length + bias, tiles["BM"]) * cdiv(K, tiles["BN"]) * stack, tiles["BK"])
    size = stack * (length + bias) * K
    partials = empty(x, (slices, size), "float32")
    kind = Kind(kernel, geometry, stack, bias, swapped, halo, each)
    if deferred is not None and slices == 1 and address(x) % 16 == address(dy) % 16 == 0:
        deferred.join((kind, x.dtype, x.shape, dy.shape), (x, dy, partials), functools.partial(_together, kind, tiles))
    else:
        _products(kind, tiles, [(x, dy, partials)])
    dw = sum_slices(partials)
    weights = stack * length * K
    shape = (stack, R, S, K, C) if swapped else (stack, R, S, C, K)
    return dw[:weights].reshape(shape), dw[weights:].reshape(stack, K) if bias else None


Layer = tuple[Array, Array, Array]
"""x, dy and the partials of their weight gradient, [slices,...]."""


def _products(kind: Kind, tiles: Tiles, layers: Sequence[Layer]) -> None:
    """Write the partials of all layers, in one launch."""
    x, dy, partials = layers[0]
    (_, H, W, C), (N, rows, width, K), (R, S), slices = x.shape, dy.shape, kind.kernel, len(partials)
    P, Q, length, stack = rows - kind.halo, width - kind.halo, R * S * C, kind.stack
    along, in_rows = walked(Q, tiles["BK"])
    table = address_table(x, layers) if len(layers) > 1 else None
    grid = cdiv(length + kind.bias, tiles["BM"]), cdiv(K, tiles["BN"]), len(layers) * stack * slices
    # Program (i, j, (l, g, z)) owns rows [i BM, (i + 1) BM) and columns [j BN, (j + 1) BN) of partial z of layer l's weight g,
    # from the pixels [z each, (z + 1) each) of those that meet it.
    launch(
        _wgrad, grid, x, dy, partials, table, H, W, Q, along, width, rows * width, P * along, N // stack * P * along,
        kind.each, slices, stack, flops=2 * length * K * N * P * along * len(layers), bytes=nbytes(table, *itertools.chain(*layers)),
        C=C, K=K, R=R, S=S, **weight_strides(C, K, kind.swapped),
        STRIDE=kind.geometry.stride, PAD=kind.geometry.padding, SIDE=kind.geometry.side,
        REFLECT=kind.geometry.reflect, BIAS=kind.bias, ROW=in_rows, EDGE=along != Q, PRECISION=input_precision(), **tiles,
    )  # fmt: skip


def _together(kind: Kind, tiles: Tiles, layers: Sequence[Layer]) -> None:
    """The same for layers that have waited for each other; where there is one, in its own `tiles`."""
    if len(layers) > 1:
        (x, dy, _), (R, S) = layers[0], kind.kernel
        tiles = pick(
            _wgrad,
            (x.dtype, input_precision(), *x.shape, *dy.shape, *kind[:-1], len(layers)),
            choose_wgrad_tiles(
                dy.shape[3], x.shape[3], dy.shape[2] - kind.halo, x, rows=len(layers) * kind.stack * R * S * x.shape[3]
            ),
            candidates,
            lambda t: _products(kind, t, layers),
        )
    _products(kind, tiles, layers)


def choose_wgrad_tiles(N: int, C: int, Q: int, like: Array, rows: int = 0) -> Tiles:
    """Tile [BM,BN] of dw for N columns and rows of C channels, steps of BK of Q pixels in a row, and warps.

    So many `rows` of several layers in one launch may fill one wave of multiprocessors with 128x256, which reads a quarter less from L2.
    """
    # A tile's rows lie in one tap where 128 or 64 divide C. In full float32 registers limit the tile to 64x64.
    BN = min(64 if full_float32(like) else 128, max(16, triton.next_power_of_2(N)))
    # With 32 channels, a row of taps of few (row_of_taps.py), they are whole taps, and 128 of them read dy half as often.
    bf16 = dtype_name(like.dtype) == "bfloat16"
    BM = 128 if (C % 128 == 0 and BN == 128) or (C == 32 and BN == 64 and bf16) else 64
    wide = N % 256 == 0 and BM == 128 and bf16
    if wide and rows // 128 * (N // 256) >= 0.9 * PROGRAMS:
        BN = 256
    warps = 8 if max(BM, BN) >= 128 or not bf16 else 4  # float32 x is turned around in registers
    stages = 2 if full_float32(like) and C % 16 else 3  # a gather across taps, and no tensor cores: registers again
    BK = step(like) if C % 16 == 0 else min(step(like), 32)
    # Fewest pixels beyond the ends of rows; of a small tile also fewest steps, each of which has some 60 instructions of its own.
    BK = min(BK, max(BK // 2, 16), key=lambda k: cdiv(Q, k) * (k + (0 if BN >= 128 else 64)))
    return dict(BM=BM, BN=BN, BK=BK, num_warps=warps, num_stages=stages)


def walked(Q: int, BK: int) -> tuple[int, bool]:
    """Columns of a row of Q that are walked over, BK at a time, and whether a step then lies in one row.

    Masked pixels beyond the end of a row are cheaper than the divisions of steps across rows, up to half a row.
    """
    full = cdiv(Q, BK) * BK
    return (full, True) if full <= 1.5 * Q else (Q, False)


@functools.cache
def _split(total: int, tiles: int, BK: int) -> tuple[int, int]:
    """Pixels of a slice (a multiple of BK) and slices, for `total` pixels and as many programs per slice as `tiles`.

    Time, in pixels that one program handles: waves of programs times a slice's pixels. More than one slice costs a launch
    (600 pixels of a 128x128 tile in bf16 take 2 us on an H100) and the partials' way to memory and back (12 per tile). Two
    slices of 72 tiles take two waves of 132 programs, as long as one slice takes in one wave; 72 stay one slice.
    """

    def cost(slices: int) -> float:
        return cdiv(tiles * slices, PROGRAMS) * total / slices + (600 + 12 * tiles * slices if slices > 1 else 0)

    slices = min(range(1, max(1, min(PROGRAMS, total // (2 * BK))) + 1), key=cost)
    each = cdiv(cdiv(total, slices), BK) * BK
    return each, cdiv(total, each)
