"""Dropout in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of


def forward(x: Array, *, p: float, key: int | Array) -> Array:
    return scaled(x, p, kept(xp_of(x), x.shape, p, key))


backward = forward


def scaled(x: Array, p: float, kept: Array) -> Array:
    """x / (1 - p) where it is kept, else 0."""
    scale = x.dtype.type(1 / (1 - p))
    return xp_of(x).where(kept, x * scale, x.dtype.type(0))


def kept(xp: Array, shape: tuple[int, ...], p: float, key: int | Array) -> Array:
    """Where the coin falls well, bool of `shape`."""
    size = 1
    for side in shape:
        size *= side
    number = xp.uint32(key) if isinstance(key, int) else key[:1].view(xp.uint32)
    h = mix(mix(xp.arange(size, dtype=xp.uint32)) ^ number)
    return (h >= threshold(p)).reshape(shape)


def mix(h: Array) -> Array:
    """uint32 -> uint32, every bit of the result depending on every bit of h."""
    h = (h ^ (h >> 16)) * h.dtype.type(0x85EBCA6B)
    h = (h ^ (h >> 13)) * h.dtype.type(0xC2B2AE35)
    return h ^ (h >> 16)


def threshold(p: float) -> int:
    """p as a share of 2**32."""
    return int(p * 2**32)
