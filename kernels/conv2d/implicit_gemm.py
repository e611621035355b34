"""Convolution as a matrix product whose left matrix is never built: `correlate`, and its adjoint, `spread`.

    correlate   y[n,p,q,o] = sum over r,s,i of  x[n, p*stride + r - pad, q*stride + s - pad, i] * w[r,s,i,o]
    spread      y[n, h*stride + r - pad, w*stride + s - pad, o] += x[n,h,w,i] * w[r,s,i,o]

Unfolding gives [pixels, R*S*I] @ [R*S*I, O]. Here each block of that left matrix is gathered from x when its turn comes:
the reduction runs over one flat index, from which the tap (r, s) and the channel follow, and the tap shifts the address.
Mirroring is arithmetic on the address too, so that no padded picture exists. Where BK channels divide I, a block lies
within one tap and its loads are 16 bytes wide and, for a mirrored picture, free of masks. Where there are 3 channels, a
block runs across taps: the 147 numbers under a 7x7 kernel fill 5 blocks of 32, instead of 49 blocks holding 3 each.

`spread` is written as a gather as well. An output row u = row + pad only meets taps r with r = u (mod stride): rows split
into `stride` phases, each a small correlation of its own with r running backwards, and no zeros are multiplied. Where the
forward pass mirrored its picture, some pixels collect from two rows or columns at a tap, whose sums stand behind the
picture (kernels/conv2d/reflect_halo.py): another place to fetch from, and nothing is added afterwards.

Both write each output once, and while its tile is in registers the epilogue adds what else belongs to it and leaves what
an instance norm wants to know: forward its mean and squared deviations, backward its two sums (kernels/gpu/epilogue.py).

Grid of both: pixel tiles x channel tiles x images (and phases). A tile lies in one image, so that it can leave statistics.
The weight may be a stack: then each run of `images` images in a row has its own (kernels/conv2d/stacked.py).

Bytes, as the launches count them: every array once. x is read again for each tap and each channel tile, w by each pixel
tile; both come from the L2 cache, since what programs running together touch is a few rows of x and all of w (1-4 MB).
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from kernels.conv2d.reflect_halo import meeting
from kernels.conv2d.stacked import groups
from kernels.device import Array
from kernels.gpu.autotune import Tiles, pick
from kernels.gpu.epilogue import Epilogue
from kernels.gpu.launch import contiguous, empty, input_precision, launch
from kernels.instance_norm.gpu import before_activation
from kernels.reflection_pad.gpu import _mirror

PROGRAMS = 132  # multiprocessors of an H100: what one wave of tiles should fill


@triton.jit
def load(pointer, mask, MASKED: tl.constexpr):
    """The values at `pointer`, 0 where masked; without MASKED the mask costs nothing."""
    return tl.load(pointer, mask=mask, other=0.0) if MASKED else tl.load(pointer)


@triton.jit
def tap_and_channel(start, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    """The flat indices start, start + 1, ... split; the tap is one number where BLOCK divides CHANNELS, else [BLOCK]."""
    flat = start + tl.arange(0, BLOCK)
    if CHANNELS % BLOCK == 0:
        tap = start // CHANNELS
        channel = start % CHANNELS + tl.arange(0, BLOCK)
    else:
        tap = flat // CHANNELS
        channel = flat % CHANNELS
    return flat, tap, channel


@triton.jit
def leave_sums(gradient, z, at, inside, mean, rstd, negative, partials, o, OUT: tl.constexpr):
    """The tile's two sums over the gradient of what an instance norm with input z puts out; 0 counts where not inside."""
    x_hat = tl.load(z + at, mask=inside, other=0.0).to(tl.float32) - tl.load(mean + o, mask=o < OUT, other=0.0)[None, :]
    x_hat *= tl.load(rstd + o, mask=o < OUT, other=0.0)[None, :]
    gradient = tl.where(inside, before_activation(gradient, x_hat, negative), 0.0)
    tl.store(partials + o, tl.sum(gradient, 0), mask=o < OUT)
    tl.store(partials + OUT + o, tl.sum(gradient * x_hat, 0), mask=o < OUT)


@triton.jit
def _correlate(
    x, w, bias, y, onto, z, mean, rstd, negative, partials, images, H, W, Q, pixels,
    CHANNELS: tl.constexpr, OUT: tl.constexpr, R: tl.constexpr, S: tl.constexpr, W_IN: tl.constexpr, W_OUT: tl.constexpr,
    STRIDE: tl.constexpr, PAD: tl.constexpr, REFLECT: tl.constexpr, EVEN: tl.constexpr, PRECISION: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    pixel = t * BM + tl.arange(0, BM)
    at = tl.minimum(pixel, pixels - 1)  # a row beyond the last repeats it: no mask on loads, and no store
    h, v = at // Q * STRIDE - PAD, at % Q * STRIDE - PAD
    x += n * H * W * CHANNELS
    w += n // images * (R * S * CHANNELS * OUT)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, R * S * CHANNELS, BK):
        flat, tap, channel = tap_and_channel(start, CHANNELS, BK)
        row, column = h[:, None] + tap // S, v[:, None] + tap % S  # [BM,1], or [BM,BK] across taps
        there = (flat < R * S * CHANNELS)[None, :]
        if REFLECT:
            # What lies past the reduction's end is masked; its tap may be any, its address none of ours.
            row, column = _mirror(row, H), _mirror(column, W)
        else:
            there = there & (row >= 0) & (row < H) & (column >= 0) & (column < W)
        a = load(x + (row * W + column) * CHANNELS + channel[None, :], there, CHANNELS % BK != 0 or not REFLECT)
        b_at = (tap * (CHANNELS * OUT) + channel * W_IN)[:, None] + o[None, :] * W_OUT
        b_is = (flat < R * S * CHANNELS)[:, None] & (o < OUT)[None, :]
        b = load(w + b_at, b_is, CHANNELS % BK != 0 or OUT % BN != 0)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    if bias is not None:
        acc += tl.load(bias + n // images * OUT + o, mask=o < OUT, other=0.0).to(tl.float32)[None, :]
    inside = (pixel < pixels)[:, None] & (o < OUT)[None, :]
    at = n * pixels * OUT + pixel[:, None] * OUT + o[None, :]
    if onto is not None:
        acc += load(onto + at, inside, not EVEN).to(tl.float32)
    if EVEN:
        tl.store(y + at, acc)
    else:
        tl.store(y + at, acc, mask=inside)
    if z is not None:
        partials += (n * tl.num_programs(0) + t) * 2 * OUT
        leave_sums(acc, z, at, inside, mean + n * OUT, rstd + n * OUT, negative, partials, o, OUT)
    elif partials is not None:
        # Two passes over the tile while it is in registers: mean, then squares around it.
        mean = tl.sum(tl.where(inside, acc, 0.0), 0) / tl.minimum(pixels - t * BM, BM).to(tl.float32)  # [BN]
        delta = tl.where(inside, acc - mean[None, :], 0.0)
        partials += (n * tl.num_programs(0) + t) * 2 * OUT + o
        tl.store(partials, mean, mask=o < OUT)
        tl.store(partials + OUT, tl.sum(delta * delta, 0), mask=o < OUT)


@triton.jit
def _spread(
    x, w, bias, y, onto, z, mean, rstd, negative, partials, N, images, H, W, P, Q,
    CHANNELS: tl.constexpr, OUT: tl.constexpr, R: tl.constexpr, S: tl.constexpr, W_IN: tl.constexpr, W_OUT: tl.constexpr,
    STRIDE: tl.constexpr, PAD: tl.constexpr, EXTENDED: tl.constexpr, PRECISION: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    MORE: tl.constexpr = PAD * (PAD + 1) if EXTENDED else 0
    phase_h, phase_w = 0, 0
    n = tl.program_id(2)
    t = tl.program_id(0)
    if STRIDE > 1:
        phase_h, phase_w = n // N // STRIDE, n // N % STRIDE
        t += n // N * tl.num_programs(0)
        n = n % N
    n = n.to(tl.int64)
    # The padded rows u = i * STRIDE + phase_h that this phase owns.
    first_h, first_w = (PAD - phase_h + STRIDE - 1) // STRIDE, (PAD - phase_w + STRIDE - 1) // STRIDE
    columns = (PAD + Q - phase_w + STRIDE - 1) // STRIDE - first_w
    pixels = ((PAD + P - phase_h + STRIDE - 1) // STRIDE - first_h) * columns
    pixel = tl.program_id(0) * BM + tl.arange(0, BM)
    o = tl.program_id(1) * BN + tl.arange(0, BN)
    if partials is not None:
        partials += (n * tl.num_programs(0) * STRIDE * STRIDE + t) * 2 * OUT
    if tl.program_id(0) * BM >= pixels:  # of a smaller phase
        if partials is not None:
            tl.store(partials + o, tl.zeros((BN,), tl.float32), mask=o < OUT)
            tl.store(partials + OUT + o, tl.zeros((BN,), tl.float32), mask=o < OUT)
        return
    at = tl.minimum(pixel, pixels - 1)
    i, j = first_h + at // columns, first_w + at % columns
    x += n * (H + MORE) * (W + MORE) * CHANNELS
    w += n // images * (R * S * CHANNELS * OUT)
    taps_h, taps_w = (R - phase_h + STRIDE - 1) // STRIDE, (S - phase_w + STRIDE - 1) // STRIDE
    length = taps_h * taps_w * CHANNELS
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, length, BK):
        flat, tap, channel = tap_and_channel(start, CHANNELS, BK)
        r, s = tap // taps_w, tap % taps_w
        if EXTENDED:
            row, row_is = meeting(i[:, None] - PAD, PAD - r, P, H, PAD, R)  # [BM,1], or [BM,BK] across taps
            column, column_is = meeting(j[:, None] - PAD, PAD - s, Q, W, PAD, S)
            there = row_is & column_is
        else:
            row, column = i[:, None] - r, j[:, None] - s
            there = (row >= 0) & (row < H) & (column >= 0) & (column < W)
        a_at = (row * (W + MORE) + column) * CHANNELS + channel[None, :]
        a = load(x + a_at, (flat < length)[None, :] & there, True)
        tap = (phase_h + STRIDE * r) * S + phase_w + STRIDE * s
        b_at = (tap * (CHANNELS * OUT) + channel * W_IN)[:, None] + o[None, :] * W_OUT
        b_is = (flat < length)[:, None] & (o < OUT)[None, :]
        b = load(w + b_at, b_is, CHANNELS % BK != 0 or OUT % BN != 0)
        acc = tl.dot(a, b, acc, input_precision=PRECISION)
    if bias is not None:
        acc += tl.load(bias + n // images * OUT + o, mask=o < OUT, other=0.0).to(tl.float32)[None, :]
    inside = (pixel < pixels)[:, None] & (o < OUT)[None, :]
    to = n * P * Q * OUT + ((i * STRIDE + phase_h - PAD) * Q + j * STRIDE + phase_w - PAD)[:, None] * OUT + o[None, :]
    if onto is not None:
        acc += tl.load(onto + to, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + to, acc, mask=inside)
    if z is not None:
        leave_sums(acc, z, to, inside, mean + n * OUT, rstd + n * OUT, negative, partials, o, OUT)


def correlate(
    x: Array, w: Array, b: Array | None, size: tuple[int, int], *,
    stride: int, padding: int, reflect: bool = False, swap: bool = False, statistics: bool = False,
    epilogue: Epilogue | None = None, tiles: Tiles | None = None,
) -> tuple[Array, Array | None, int]:  # fmt: skip
    """y [N,*size,O], and per pixel tile its mean and squared deviations [N,T,2,O] (or None), and the tile's pixels.

    x [N,H,W,I] and w [R,S,I,O] (with `swap` [R,S,O,I]), or a stack of such, are contiguous.
    """
    how: dict[str, Any] = dict(stride=stride, padding=padding, reflect=reflect, swap=swap)
    how |= dict(statistics=statistics, epilogue=epilogue)
    N, H, W, CHANNELS = x.shape
    (R, S), OUT = w.shape[-4:-2], w.shape[-2 if swap else -1]
    pixels = size[0] * size[1]
    tiles = tiles or pick(
        _correlate, (x.dtype, input_precision(), *x.shape, *w.shape, *size, stride, finishing(epilogue), statistics),
        candidates(choose_tiles(N * pixels, OUT, CHANNELS, x)), lambda t: correlate(x, w, b, size, **how, tiles=t),
    )  # fmt: skip
    y = empty(x, (N, *size, OUT))
    grid = (triton.cdiv(pixels, tiles["BM"]), triton.cdiv(OUT, tiles["BN"]), N)
    onto, norm, partials, nbytes = _finishing(epilogue, y, grid[0])
    if statistics:
        partials = empty(x, (N, grid[0], 2, OUT), "float32")
    # Program (t, k, n) owns pixels [t BM, (t + 1) BM) of image n of y, channels [k BN, (k + 1) BN), and partial (n, t).
    launch(
        _correlate, grid, x, w, b, y, onto, *norm, partials, N // groups(x, w), H, W, size[1], pixels,
        flops=2 * y.size * R * S * CHANNELS, bytes=nbytes + _nbytes(x, w, b, y, partials),
        CHANNELS=CHANNELS, OUT=OUT, R=R, S=S, **_strides(CHANNELS, OUT, swap),
        STRIDE=stride, PAD=padding, REFLECT=reflect, PRECISION=input_precision(),
        EVEN=pixels % tiles["BM"] == 0 and OUT % tiles["BN"] == 0, **tiles,
    )  # fmt: skip
    return y, partials, tiles["BM"]


def spread(
    x: Array, w: Array, b: Array | None, size: tuple[int, int], *,
    stride: int, padding: int, mirrored: bool = False, swap: bool = False, epilogue: Epilogue | None = None,
    tiles: Tiles | None = None,
) -> Array:  # fmt: skip
    """y [N,*size,O], the adjoint of `correlate` with the same settings; x and w as there.

    Where the picture was mirrored, x is extended, [N,H+E,W+E,I] (see kernels/conv2d/reflect_halo.py).
    """
    N, H, W, CHANNELS = x.shape
    more = padding * (padding + 1) if mirrored else 0
    H, W = H - more, W - more
    (R, S), OUT = w.shape[-4:-2], w.shape[-2 if swap else -1]
    P, Q = size
    y = empty(x, (N, P, Q, OUT))
    pixels = triton.cdiv(P, stride) * triton.cdiv(Q, stride)  # of the largest phase
    how: dict[str, Any] = dict(stride=stride, padding=padding, mirrored=mirrored, swap=swap, epilogue=epilogue)
    tiles = tiles or pick(
        _spread, (x.dtype, input_precision(), *x.shape, *w.shape, *size, stride, finishing(epilogue)),
        candidates(choose_tiles(N * pixels * stride**2, OUT, CHANNELS, x, spreads=True)),
        lambda t: spread(x, w, b, size, **how, tiles=t),
    )  # fmt: skip
    grid = (triton.cdiv(pixels, tiles["BM"]), triton.cdiv(OUT, tiles["BN"]), N * stride**2)
    onto, norm, partials, nbytes = _finishing(epilogue, y, grid[0] * stride**2)
    # Program (t, k, (phase, n)) owns BM pixels of one phase of image n of y, channels [k BN, (k + 1) BN), and a partial.
    launch(
        _spread, grid, x, w, b, y, onto, *norm, partials, N, N // groups(x, w), H, W, P, Q,
        flops=2 * N * H * W * CHANNELS * R * S * OUT, bytes=nbytes + _nbytes(x, w, b, y, partials),
        CHANNELS=CHANNELS, OUT=OUT, R=R, S=S, **_strides(CHANNELS, OUT, swap),
        STRIDE=stride, PAD=padding, EXTENDED=mirrored, PRECISION=input_precision(), **tiles,
    )  # fmt: skip
    return y


def finishing(epilogue: Epilogue | None) -> str:
    """What an epilogue does, in short."""
    return "" if epilogue is None else "onto " * (epilogue.onto is not None) + "sums" * (epilogue.sums is not None)


def _finishing(epilogue: Epilogue | None, y: Array, tiles: int) -> tuple[Array | None, tuple, Array | None, int]:
    """What the kernels take for their epilogue: onto; z, mean, rstd and slope of a norm; room for its sums; bytes read."""
    onto, sums = (None, None) if epilogue is None else (epilogue.onto, epilogue.sums)
    (onto,) = contiguous(onto)
    if sums is None:
        return onto, (None, None, None, 1.0), None, _nbytes(onto)
    sums.partials = empty(y, (len(y), tiles, 2, y.shape[3]), "float32")
    return onto, (*contiguous(sums.x, sums.mean, sums.rstd), sums.negative), sums.partials, _nbytes(onto, sums.x)


def _nbytes(*arrays: Array | None) -> int:
    return sum(a.nbytes for a in arrays if a is not None)


def choose_tiles(M: int, N: int, K: int, like: Array, spreads: bool = False) -> Tiles:
    """Tile [BM,BN] for M pixels and N channels out, steps of BK along a reduction over taps of K channels, and warps.

    BM is at least 64, which Hopper's wgmma instruction works on. 128x128 needs the fewest bytes from L2 per product, but
    fills one wave of multiprocessors only from 132 tiles on; a residual layer (256 channels) has 64 of them for a picture
    of 4096 pixels, and 128 of 64x128; four pictures of twins have 256. Two more limits come from the registers: full
    float32 has no tensor cores and keeps both operands there (64x64, or 64x32 and no loads ahead for `spread`, whose
    addresses take more, shared by 8 warps), and a gather across taps keeps an address for each element (64 pixels, blocks of 32; of float32
    shared by 8 warps).
    """
    full, widest = full_float32(like), step(like)
    BK = next((k for k in (64, 32, 16) if k <= widest and K % k == 0), min(widest, 32))
    BN = min((32 if spreads else 64) if full else 128, max(16, triton.next_power_of_2(N)))
    large = not full and K % BK == 0 and triton.cdiv(M, 128) * triton.cdiv(N, BN) >= PROGRAMS
    across = str(like.dtype) == "float32" and K % BK != 0
    warps = 8 if full or across or (large and BN == 128) else 4
    stages = 3 if not full else 1 if spreads else 2 if K % BK else 3
    return dict(BM=128 if large else 64, BN=BN, BK=BK, num_warps=warps, num_stages=stages)


def candidates(tiles: Tiles) -> list[Tiles]:
    """The table's tiles and a few around them, for measuring (kernels/gpu/autotune.py)."""
    near = [dict(BM=128, num_warps=8), dict(BM=64, num_warps=4), dict(num_stages=4), dict(num_stages=2)]
    if tiles["BN"] > 64:
        near += [dict(BN=64, num_warps=4), dict(BM=64, BN=64, num_warps=4)]
    found = [tiles]
    for change in near:
        if (changed := tiles | change) not in found:
            found.append(changed)
    return found


def step(like: Array) -> int:
    """How far to go along a reduction at a time, in elements: 128 bytes, or what registers hold in full float32."""
    return 64 if str(like.dtype) == "bfloat16" else 16 if full_float32(like) else 32


def full_float32(like: Array) -> bool:
    """Whether products are exact float32 ones, which tensor cores do not make."""
    return str(like.dtype) == "float32" and input_precision() == "ieee"


def _strides(channels: int, out: int, swap: bool) -> dict[str, int]:
    """How far apart neighbouring channels lie within one tap of the weight."""
    return dict(W_IN=1, W_OUT=channels) if swap else dict(W_IN=out, W_OUT=1)
