"""Some pictures of a batch in plain array code."""

from __future__ import annotations

from kernels.device import Array, xp_of


def backward(dy: Array, *, count: int, start: int) -> Array:
    dx = xp_of(dy).zeros_like(dy, shape=(count, *dy.shape[1:]))
    dx[start : start + len(dy)] = dy
    return dx
