"""Instance normalisation on the GPU: two launches forward, two backward.

The picture of one image is a matrix [pixels, C]. Grid of every launch: one program for a tile of consecutive pixels, a
block of up to 64 channels, and one image. In the first launch each program reduces its tile and leaves two numbers for each
channel in `partials` [N,T,2,C]; in the second every program merges all T of them, always in the same order, and then
transforms its own tile. Reading the partials again in each program costs some traffic in the L2 cache and saves a launch.

Bytes: forward x twice, y, skip; backward x and dy twice, dx. Where a convolution leaves the partials (its epilogue has the
tile in registers), the first launch and its reading are saved: forward by starting at `normalise`, backward by `sums`.

conditional_instance_norm runs the same kernels with a scale and a shift [N,C] ahead of the activation.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.conv2d.reflect_halo import extended_shape, margin_pixel, source
from kernels.device import Array
from kernels.gpu.epilogue import Sums
from kernels.gpu.launch import contiguous, empty, launch
from kernels.gpu.reduce import merge_moments
from kernels.instance_norm.reference import negative_slope

SUMS = True  # `backward` takes them
BP = 32  # pixels in registers at a time
BT = 16  # partials merged at a time


@triton.jit
def _moments(x, partials, pixels, tile, C, BP: tl.constexpr, BC: tl.constexpr):
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    x += n * pixels * C
    # Measured from the tile's first pixel, so that a large mean costs no digits.
    pivot = tl.load(x + t * tile * C + c, mask=c < C, other=0.0).to(tl.float32)
    count, mean, m2 = 0.0, tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    end = tl.minimum((t + 1) * tile, pixels)
    for start in range(t * tile, end, BP):
        p = start + tl.arange(0, BP)
        inside = (p < end)[:, None] & (c < C)[None, :]
        value = tl.load(x + p[:, None] * C + c[None, :], mask=inside, other=0.0).to(tl.float32)  # [BP,BC]
        value = tl.where(inside, value - pivot[None, :], 0.0)
        block_count = tl.minimum(end - start, BP).to(tl.float32)
        block_mean = tl.sum(value, 0) / block_count
        value = tl.where(inside, value - block_mean[None, :], 0.0)
        count, mean, m2 = merge_moments(count, mean, m2, block_count, block_mean, tl.sum(value * value, 0))
    partials += (n * tl.num_programs(0) + t) * 2 * C + c
    tl.store(partials, pivot + mean, mask=c < C)
    tl.store(partials + C, m2, mask=c < C)


@triton.jit
def _merged_moments(partials, pixels, tile, tiles, C, c, BT: tl.constexpr, BC: tl.constexpr):
    """Mean and variance [BC] of channels c from all tiles: the mean first, then squares around it."""
    pivot = tl.load(partials + c, mask=c < C, other=0.0)
    mean, m2 = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    for start in range(0, tiles, BT):
        t = start + tl.arange(0, BT)
        inside = (t < tiles)[:, None] & (c < C)[None, :]
        count = tl.minimum(pixels - t * tile, tile).to(tl.float32)[:, None]
        value = tl.load(partials + t[:, None] * 2 * C + c[None, :], mask=inside, other=0.0)
        mean += tl.sum(tl.where(inside, count * (value - pivot[None, :]), 0.0), 0)
    mean = pivot + mean / pixels
    for start in range(0, tiles, BT):
        t = start + tl.arange(0, BT)
        inside = (t < tiles)[:, None] & (c < C)[None, :]
        count = tl.minimum(pixels - t * tile, tile).to(tl.float32)[:, None]
        delta = tl.load(partials + t[:, None] * 2 * C + c[None, :], mask=inside, other=0.0) - mean[None, :]
        square = tl.load(partials + t[:, None] * 2 * C + C + c[None, :], mask=inside, other=0.0)
        m2 += tl.sum(tl.where(inside, square + count * delta * delta, 0.0), 0)
    return mean, m2 / pixels


@triton.jit
def _normalise(
    x, skip, y, partials, mean_out, rstd_out, scale, shift, pixels, tile, tiles, rows, C, negative, eps,
    BP: tl.constexpr, BC: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    mean, variance = _merged_moments(partials + n * tiles * 2 * C, pixels, tile, tiles, C, c, BT, BC)
    rstd = 1 / tl.sqrt_rn(variance + eps)
    if t == 0:
        tl.store(mean_out + n * C + c, mean, mask=c < C)
        tl.store(rstd_out + n * C + c, rstd, mask=c < C)
    if scale is not None:
        scale = tl.load(scale + n * C + c, mask=c < C, other=0.0).to(tl.float32)
        shift = tl.load(shift + n * C + c, mask=c < C, other=0.0).to(tl.float32)
    end = tl.minimum((t + 1) * rows, pixels)
    for start in range(t * rows, end, BP):
        p = start + tl.arange(0, BP)
        inside = (p < end)[:, None] & (c < C)[None, :]
        at = n * pixels * C + p[:, None] * C + c[None, :]
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)  # [BP,BC]
        value = (value - mean[None, :]) * rstd[None, :]
        if scale is not None:
            value = value * scale[None, :] + shift[None, :]
        value = tl.where(value > 0, value, value * negative)
        if skip is not None:
            value += tl.load(skip + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + at, value, mask=inside)


@triton.jit
def _gradient(dy, x, at, inside, mean, rstd, scale, shift, negative):
    """The gradient ahead of the activation and x_hat, both [BP,BC], 0 outside."""
    x_hat = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    x_hat = tl.where(inside, (x_hat - mean[None, :]) * rstd[None, :], 0.0)
    value = x_hat
    if scale is not None:
        value = x_hat * scale[None, :] + shift[None, :]
    return before_activation(tl.load(dy + at, mask=inside, other=0.0).to(tl.float32), value, negative), x_hat


@triton.jit
def before_activation(gradient, value, negative):
    """The gradient of a value from that of its activation."""
    return tl.where(value > 0, gradient, gradient * negative)


@triton.jit
def _sums(dy, x, mean, rstd, scale, shift, partials, pixels, tile, C, negative, BP: tl.constexpr, BC: tl.constexpr):
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    mean = tl.load(mean + n * C + c, mask=c < C, other=0.0)
    rstd = tl.load(rstd + n * C + c, mask=c < C, other=0.0)
    if scale is not None:
        scale = tl.load(scale + n * C + c, mask=c < C, other=0.0).to(tl.float32)
        shift = tl.load(shift + n * C + c, mask=c < C, other=0.0).to(tl.float32)
    plain, along = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    end = tl.minimum((t + 1) * tile, pixels)
    for start in range(t * tile, end, BP):
        p = start + tl.arange(0, BP)
        inside = (p < end)[:, None] & (c < C)[None, :]
        at = n * pixels * C + p[:, None] * C + c[None, :]
        gradient, x_hat = _gradient(dy, x, at, inside, mean, rstd, scale, shift, negative)
        plain += tl.sum(gradient, 0)
        along += tl.sum(gradient * x_hat, 0)
    partials += (n * tl.num_programs(0) + t) * 2 * C + c
    tl.store(partials, plain, mask=c < C)
    tl.store(partials + C, along, mask=c < C)


@triton.jit
def _dx(
    dy, x, mean, rstd, scale, shift, partials, dx, dscale, dshift, pixels, tiles, rows, C, negative, H, W, size,
    PAD: tl.constexpr, BP: tl.constexpr, BC: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    MORE: tl.constexpr = PAD * (PAD + 1)
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    mean = tl.load(mean + n * C + c, mask=c < C, other=0.0)
    rstd = tl.load(rstd + n * C + c, mask=c < C, other=0.0)
    factor = rstd
    if scale is not None:
        scale = tl.load(scale + n * C + c, mask=c < C, other=0.0).to(tl.float32)
        shift = tl.load(shift + n * C + c, mask=c < C, other=0.0).to(tl.float32)
        factor = rstd * scale
    partials += n * tiles * 2 * C
    plain, along = tl.zeros((BC,), tl.float32), tl.zeros((BC,), tl.float32)
    for start in range(0, tiles, BT):
        s = start + tl.arange(0, BT)
        inside = (s < tiles)[:, None] & (c < C)[None, :]
        at = s[:, None] * 2 * C + c[None, :]
        plain += tl.sum(tl.load(partials + at, mask=inside, other=0.0), 0)
        along += tl.sum(tl.load(partials + C + at, mask=inside, other=0.0), 0)
    if scale is not None:
        tl.store(dscale + n * C + c, along, mask=(c < C) & (t == 0))
        tl.store(dshift + n * C + c, plain, mask=(c < C) & (t == 0))
    plain, along = plain / pixels, along / pixels
    dx += n * (pixels + size) * C
    end = tl.minimum((t + 1) * rows, pixels)
    for start in range(t * rows, end, BP):
        p = start + tl.arange(0, BP)
        inside = (p < end)[:, None] & (c < C)[None, :]
        at = n * pixels * C + p[:, None] * C + c[None, :]
        gradient, x_hat = _gradient(dy, x, at, inside, mean, rstd, scale, shift, negative)
        to = p
        if PAD > 0:
            to += p // W * MORE
        value = (gradient - plain[None, :] - x_hat * along[None, :]) * factor[None, :]
        tl.store(dx + to[:, None] * C + c[None, :], value, mask=inside)
    # Programs beyond the picture's own make the sums that stand behind it, of up to four values.
    first = t * rows - tl.cdiv(pixels, rows) * rows
    if PAD > 0 and first >= 0:
        for start in range(first, tl.minimum(first + rows, size), BP):
            m = start + tl.arange(0, BP)
            i, j = margin_pixel(m, H, W, PAD)
            total = tl.zeros((BP, BC), tl.float32)
            for a in tl.static_range(2):
                row, row_is = source(i, H, PAD, a)
                for b in tl.static_range(2):
                    column, column_is = source(j, W, PAD, b)
                    inside = (row_is & column_is & (m < size))[:, None] & (c < C)[None, :]
                    at = n * pixels * C + (row * W + column)[:, None] * C + c[None, :]
                    gradient, x_hat = _gradient(dy, x, at, inside, mean, rstd, scale, shift, negative)
                    value = (gradient - plain[None, :] - x_hat * along[None, :]) * factor[None, :]
                    total += tl.where(inside, value, 0.0)
            to = (i * (W + MORE) + j)[:, None] * C + c[None, :]
            tl.store(dx + to, total, mask=(m < size)[:, None] & (c < C)[None, :])


def forward(
    x: Array,
    skip: Array | None = None,
    *,
    activation: str = "none",
    slope: float = 0.2,
    eps: float = 1e-5,
    **style: Array,
) -> tuple[Array, Array, Array]:
    (x,) = contiguous(x)
    (N, H, W, C), BC = x.shape, _channels(x)
    tile = _tile(x)
    partials = empty(x, (N, triton.cdiv(H * W, tile), 2, C), "float32")
    # Program (t, b, n) owns pixels [t tile, (t + 1) tile) and channels [b BC, (b + 1) BC) of image n, and partial (n, t).
    grid = (partials.shape[1], triton.cdiv(C, BC), N)
    launch(_moments, grid, x, partials, H * W, tile, C, bytes=x.nbytes, BP=BP, BC=BC)
    return normalise(x, partials, tile, skip, activation=activation, slope=slope, eps=eps, **style)


def normalise(
    x: Array,
    partials: Array,
    tile: int,
    skip: Array | None = None,
    *,
    activation: str = "none",
    slope: float = 0.2,
    eps: float = 1e-5,
    scale: Array | None = None,
    shift: Array | None = None,
) -> tuple[Array, Array, Array]:
    """y, mean, rstd from x [N,H,W,C] and its partials [N,T,2,C]: mean and sum of squared deviations of each `tile` pixels.

    The pixels of an image are counted row by row, T = ceil(H W / tile), and the last tile may be shorter.
    """
    x, skip, scale, shift = contiguous(x, skip, scale, shift)
    (N, H, W, C), BC = x.shape, _channels(x)
    y, mean, rstd = empty(x, x.shape), empty(x, (N, C), "float32"), empty(x, (N, C), "float32")
    rows, tiles = _tile(x), partials.shape[1]
    # Program (t, b, n) owns pixels [t rows, (t + 1) rows) and channels [b BC, (b + 1) BC) of y; t = 0 also mean and rstd.
    launch(
        _normalise, (triton.cdiv(H * W, rows), triton.cdiv(C, BC), N),
        x, skip, y, partials, mean, rstd, scale, shift, H * W, tile, tiles, rows, C, negative_slope(activation, slope), float(eps),
        bytes=x.nbytes + y.nbytes + (0 if skip is None else skip.nbytes), BP=BP, BC=BC, BT=BT,
    )  # fmt: skip
    return y, mean, rstd


def backward(
    dy: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    *,
    activation: str = "none",
    slope: float = 0.2,
    eps: float = 1e-5,
    sums: Sums | None = None,
) -> Array:
    """dx. Where dy's maker has left its sums, one launch."""
    return gradient(dy, x, mean, rstd, activation=activation, slope=slope, sums=sums)


def gradient(
    dy: Array, x: Array, mean: Array, rstd: Array, *,
    activation: str, slope: float, sums: Sums | None = None, padding: int = 0, scale: Array | None = None,
    shift: Array | None = None, dscale: Array | None = None, dshift: Array | None = None,
) -> Array:  # fmt: skip
    """dx; extended where the convolution ahead mirrored `padding` pixels (see kernels/conv2d/reflect_halo.py).

    With scale and shift [N,C] also their gradients, written to float32 dscale and dshift [N,C].
    """
    dy, x, mean, rstd, scale, shift = contiguous(dy, x, mean, rstd, scale, shift)
    (N, H, W, C), BC = x.shape, _channels(x)
    tile, negative = _tile(x), negative_slope(activation, slope)
    grid = (triton.cdiv(H * W, tile), triton.cdiv(C, BC), N)
    # In both launches program (t, b, n) owns pixels [t tile, (t + 1) tile) and channels [b BC, (b + 1) BC) of image n; in
    # the second there are more, for the sums behind the picture.
    partials = None if sums is None else sums.partials
    if partials is None:
        partials = empty(x, (N, grid[0], 2, C), "float32")
        both = dy.nbytes + x.nbytes
        launch(
            _sums, grid, dy, x, mean, rstd, scale, shift, partials, H * W, tile, C, negative,
            bytes=both, BP=BP, BC=BC,
        )  # fmt: skip
    dx = empty(x, extended_shape(x.shape, padding))
    size = dx.shape[1] * dx.shape[2] - H * W
    launch(
        _dx, (grid[0] + triton.cdiv(size, tile), *grid[1:]),
        dy, x, mean, rstd, scale, shift, partials, dx, dscale, dshift, H * W, partials.shape[1], tile, C, negative, H, W, size,
        bytes=dy.nbytes + x.nbytes + dx.nbytes, PAD=padding, BP=BP, BC=BC, BT=BT,
    )  # fmt: skip
    return dx


def _channels(x: Array) -> int:
    return min(triton.next_power_of_2(x.shape[3]), 64)


def _tile(x: Array) -> int:
    """Pixels for one program: about 256 programs in all, at most 128 for one channel."""
    N, H, W, C = x.shape
    tiles = min(128, max(1, 256 // (N * triton.cdiv(C, 64))))
    return triton.cdiv(triton.cdiv(H * W, tiles), BP) * BP
