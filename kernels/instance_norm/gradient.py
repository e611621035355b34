"""Instance normalisation on the GPU, backward: a launch for two sums, and one that makes dx; see gpu.py.

With g the gradient ahead of the activation, dx = rstd scale (g - mean(g) - x_hat mean(g x_hat)). Each program of the first
launch leaves the sums of g and of g x_hat over its tile in `partials` [N,T,2,C]; every program of the second adds all T of
them, always in the same order. Whoever has made dy may have left them already (kernels/gpu/epilogue.py).
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.conv2d.reflect_halo import addend, halo_pixel, halo_shape
from kernels.device import Array
from kernels.gpu.epilogue import Sums
from kernels.gpu.launch import cdiv, contiguous, empty, launch
from kernels.instance_norm.normalise import pixels_of, tile_of
from kernels.instance_norm.partials import BT, added_sums, channels_of, shortened
from kernels.instance_norm.settings import NormSettings

BH = 16  # pixels of a halo in registers at a time: each is the sum of up to four, so they are few; of a program, twice as many


@triton.jit
def before_activation(gradient, value, negative):
    """The gradient of a value from that of its activation."""
    return tl.where(value > 0, gradient, gradient * negative)


@triton.jit
def _gradient(dy, x, at, inside, mean, rstd, scale, shift, negative):
    """The gradient ahead of the activation and x_hat, both [BP,BC], 0 where not `inside` [BP,BC].

    dy, x          [N,pixels,C], read at the elements `at` [BP,BC]
    mean, rstd     [BC] each
    scale, shift   [BC] each, or None
    negative       the activation's slope below 0
    """
    gradient = tl.load(dy + at, mask=inside, other=0.0).to(tl.float32)  # [BP,BC]
    x_hat = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)  # [BP,BC]
    x_hat = tl.where(inside, (x_hat - mean[None, :]) * rstd[None, :], 0.0)
    value = x_hat
    if scale is not None:
        value = x_hat * scale[None, :] + shift[None, :]
    return before_activation(gradient, value, negative), x_hat


@triton.jit
def _sums(dy, x, mean, rstd, scale, shift, partials, pixels, tile, C, negative, BP: tl.constexpr, BC: tl.constexpr):
    """Program (t, b, n) owns pixels [t tile, (t + 1) tile) and channels [b BC, (b + 1) BC) of image n, and partial (n, t).

    Lane i takes pixels i, i + BP, ..., one after the other, in float32; then the lanes are added as a tree.

    dy, x          [N,pixels,C]
    mean, rstd     [N,C]
    scale, shift   [N,C], or None
    partials       [N,T,2,C] float32, written: the sums of g and of g x_hat over a tile
    tile           pixels of a program; the last has what is left
    negative       the activation's slope below 0
    BP, BC         pixels in registers at a time, channels
    """
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)  # [BC]
    mean = tl.load(mean + n * C + c, mask=c < C, other=0.0)  # [BC]
    rstd = tl.load(rstd + n * C + c, mask=c < C, other=0.0)  # [BC]
    if scale is not None:
        scale = tl.load(scale + n * C + c, mask=c < C, other=0.0).to(tl.float32)  # [BC]
        shift = tl.load(shift + n * C + c, mask=c < C, other=0.0).to(tl.float32)  # [BC]
    plain, along = tl.zeros((BP, BC), tl.float32), tl.zeros((BP, BC), tl.float32)  # [BP,BC]
    end = tl.minimum((t + 1) * tile, pixels)
    for start in range(t * tile, end, BP):
        p = start + tl.arange(0, BP)  # [BP]
        inside = (p < end)[:, None] & (c < C)[None, :]  # [BP,BC]
        at = n * pixels * C + p[:, None] * C + c[None, :]  # [BP,BC]
        gradient, x_hat = _gradient(dy, x, at, inside, mean, rstd, scale, shift, negative)  # [BP,BC]
        plain += gradient
        along += gradient * x_hat
    partials += (n * tl.num_programs(0) + t) * 2 * C + c
    tl.store(partials, tl.sum(plain, 0), mask=c < C)
    tl.store(partials + C, tl.sum(along, 0), mask=c < C)


@triton.jit
def _dx(
    dy, x, mean, rstd, scale, shift, partials, dx, dscale, dshift, pixels, tiles, rows, C, negative, H, W, size,
    PAD: tl.constexpr, BP: tl.constexpr, BH: tl.constexpr, BC: tl.constexpr, BT: tl.constexpr,
):  # fmt: skip
    """Program (t, b, n) owns pixels [t rows, (t + 1) rows) and channels [b BC, (b + 1) BC) of image n; t = 0 dscale, dshift.

    Programs beyond the picture's own make 2 BH pixels of its halo each.

    dy, x          [N,H,W,C]
    mean, rstd     [N,C]
    scale, shift   [N,C], or None
    partials       [N,tiles,2,C] float32: the sums of g and of g x_hat over each tile
    dx             [N,H+E,W+E,C], written: with a halo of E = PAD (PAD + 1) rows and columns, see conv2d/reflect_halo.py
    dscale, dshift [N,C] float32, written; or None
    pixels         of an image: H W
    rows           pixels of a program
    negative       the activation's slope below 0
    size           pixels of a halo: (H+E) (W+E) - H W
    PAD            pixels that the convolution ahead has mirrored
    BP, BC, BT     pixels in registers at a time, channels, partials summed at a time
    BH             pixels of the halo in registers at a time
    """
    E: tl.constexpr = PAD * (PAD + 1)
    t, n = tl.program_id(0), tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BC + tl.arange(0, BC)  # [BC]
    mean = tl.load(mean + n * C + c, mask=c < C, other=0.0)  # [BC]
    rstd = tl.load(rstd + n * C + c, mask=c < C, other=0.0)  # [BC]
    factor = rstd
    if scale is not None:
        scale = tl.load(scale + n * C + c, mask=c < C, other=0.0).to(tl.float32)  # [BC]
        shift = tl.load(shift + n * C + c, mask=c < C, other=0.0).to(tl.float32)  # [BC]
        factor = rstd * scale
    plain, along = added_sums(partials + n * tiles * 2 * C, 0, tiles, C, c, BT, BC)  # [BC]
    if scale is not None:
        tl.store(dscale + n * C + c, along, mask=(c < C) & (t == 0))
        tl.store(dshift + n * C + c, plain, mask=(c < C) & (t == 0))
    plain, along = plain / pixels, along / pixels
    dx += n * (pixels + size) * C
    end = tl.minimum((t + 1) * rows, pixels)
    for start in range(t * rows, end, BP):
        p = start + tl.arange(0, BP)  # [BP]
        inside = (p < end)[:, None] & (c < C)[None, :]  # [BP,BC]
        at = n * pixels * C + p[:, None] * C + c[None, :]  # [BP,BC]
        gradient, x_hat = _gradient(dy, x, at, inside, mean, rstd, scale, shift, negative)  # [BP,BC]
        to = p
        if PAD > 0:
            to += p // W * E
        value = (gradient - plain[None, :] - x_hat * along[None, :]) * factor[None, :]  # [BP,BC]
        tl.store(dx + to[:, None] * C + c[None, :], value, mask=inside)
    # Each pixel of the halo is the sum of up to four values.
    first = (t - tl.cdiv(pixels, rows)) * 2 * BH
    if PAD > 0 and first >= 0:
        for start in range(first, tl.minimum(first + 2 * BH, size), BH):
            m = start + tl.arange(0, BH)  # [BH]
            i, j = halo_pixel(m, H, W, PAD)  # [BH]
            total = tl.zeros((BH, BC), tl.float32)  # [BH,BC]
            for a in tl.static_range(2):
                row, row_is = addend(i, H, PAD, a)  # [BH]
                for b in tl.static_range(2):
                    column, column_is = addend(j, W, PAD, b)  # [BH]
                    inside = (row_is & column_is & (m < size))[:, None] & (c < C)[None, :]  # [BH,BC]
                    at = n * pixels * C + (row * W + column)[:, None] * C + c[None, :]  # [BH,BC]
                    gradient, x_hat = _gradient(dy, x, at, inside, mean, rstd, scale, shift, negative)
                    value = (gradient - plain[None, :] - x_hat * along[None, :]) * factor[None, :]
                    total += tl.where(inside, value, 0.0)
            to = (i * (W + E) + j)[:, None] * C + c[None, :]  # [BH,BC]
            tl.store(dx + to, total, mask=(m < size)[:, None] & (c < C)[None, :])


def gradient(
    dy: Array, x: Array, mean: Array, rstd: Array, norm: NormSettings, *,
    sums: Sums | None = None, padding: int = 0, scale: Array | None = None, shift: Array | None = None,
    dscale: Array | None = None, dshift: Array | None = None,
) -> Array:  # fmt: skip
    """dx [N,H,W,C]; with its halo, [N,H+E,W+E,C], where the convolution ahead mirrored `padding` pixels.

    With scale and shift [N,C] also their gradients, written to float32 dscale and dshift [N,C].
    """
    dy, x, mean, rstd, scale, shift = contiguous(dy, x, mean, rstd, scale, shift)
    (N, H, W, C), BC = x.shape, channels_of(x)
    tile, negative = tile_of(x), norm.negative_slope
    grid = (cdiv(H * W, tile), cdiv(C, BC), N)
    # In both launches program (t, b, n) owns pixels [t tile, (t + 1) tile) and channels [b BC, (b + 1) BC) of image n; in
    # the second there are more, for the halo.
    partials = None if sums is None else sums.partials
    if partials is None:
        partials = empty(x, (N, grid[0], 2, C), "float32")
        launch(
            _sums, grid, dy, x, mean, rstd, scale, shift, partials, H * W, tile, C, negative,
            bytes=dy.nbytes + x.nbytes, BP=pixels_of(x), BC=BC,
        )  # fmt: skip
    partials, _ = shortened(partials)
    dx = empty(x, halo_shape(x.shape, padding))
    size = dx.shape[1] * dx.shape[2] - H * W
    launch(
        _dx, (grid[0] + cdiv(size, 2 * BH), *grid[1:]),
        dy, x, mean, rstd, scale, shift, partials, dx, dscale, dshift, H * W, partials.shape[1], tile, C, negative, H, W, size,
        bytes=dy.nbytes + x.nbytes + dx.nbytes, PAD=padding, BP=pixels_of(x), BH=BH, BC=BC, BT=BT,
    )  # fmt: skip
    return dx
