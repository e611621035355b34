"""Reflection padding in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of


def forward(x: Array, *, pad: int) -> Array:
    check(x.shape, pad)
    return xp_of(x).pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")  # [N,H+2p,W+2p,C]


def backward(dy: Array, *, pad: int) -> Array:
    return _fold(_fold(dy, pad, axis=1), pad, axis=2)  # [N,H,W,C]


def check(shape: tuple[int, ...], pad: int) -> None:
    """ValueError unless an [N,H,W,C] picture is large enough to be mirrored by `pad`."""
    if pad >= min(shape[1:3]):
        raise ValueError(
            f"reflection_pad: a picture of {shape[1]}x{shape[2]} cannot be mirrored by {pad} pixels; "
            f"both sides must be larger than {pad}: use larger images"
        )


def _fold(dy: Array, pad: int, axis: int) -> Array:
    """Add the mirrored rows of one axis to the pixels they were copied from."""
    if not pad:
        return dy
    dy = xp_of(dy).moveaxis(dy, axis, 0)
    dx = dy[pad:-pad].copy()
    dx[1 : pad + 1] += dy[:pad][::-1]
    dx[-pad - 1 : -1] += dy[-pad:][::-1]
    return xp_of(dy).moveaxis(dx, 0, axis)
