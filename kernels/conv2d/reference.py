"""Convolution as one matrix product over unfolded patches (im2col)."""

from __future__ import annotations

from kernels.conv2d.geometry import Geometry
from kernels.device import Array, xp_of
from kernels.reflection_pad import reference as reflection_pad


def forward(x: Array, w: Array, b: Array | None = None, *, geometry: Geometry) -> Array:
    geometry.check(x.shape, w.shape)
    K = w.shape[-1]
    patches = unfold(pad(x, geometry), w.shape[:2], geometry.stride)  # [N,P,Q,R*S*C]
    y = patches @ w.reshape(-1, K)  # [N,P,Q,K]
    if b is not None:
        y += b
    return y


def backward(
    dy: Array, x: Array, w: Array, *, geometry: Geometry, need: tuple[bool, bool, bool] = (True, True, True)
) -> tuple[Array | None, Array | None, Array | None]:
    K, padding = w.shape[-1], geometry.padding
    dx = dw = db = None
    dy = dy.reshape(*dy.shape[:3], K)
    if need[0]:
        dpatches = dy @ w.reshape(-1, K).T  # [N,P,Q,R*S*C]
        padded = (x.shape[0], x.shape[1] + 2 * padding, x.shape[2] + 2 * padding, x.shape[3])
        dx = unpad(fold(dpatches, padded, w.shape[:2], geometry.stride), geometry)  # [N,H,W,C]
    if need[1]:
        patches = unfold(pad(x, geometry), w.shape[:2], geometry.stride)
        dw = (patches.reshape(-1, patches.shape[-1]).T @ dy.reshape(-1, K)).reshape(w.shape)  # [R,S,C,K]
    if need[2]:
        db = dy.reshape(-1, K).sum(axis=0)  # [K]
    return dx, dw, db


def pad(x: Array, geometry: Geometry) -> Array:
    """x with `padding` pixels added on each side: zeros or mirrored."""
    padding = geometry.padding
    if not padding:
        return x
    if geometry.reflect:
        return reflection_pad.forward(x, pad=padding)
    return xp_of(x).pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def unpad(dx: Array, geometry: Geometry) -> Array:
    """The adjoint of `pad`."""
    padding = geometry.padding
    if not padding:
        return dx
    if geometry.reflect:
        return reflection_pad.backward(dx, pad=padding)
    return dx[:, padding:-padding, padding:-padding]


def unfold(x: Array, kernel: tuple[int, int], stride: int) -> Array:
    """All RxS patches of x [N,H,W,C], one row each: [N,P,Q,R*S*C]."""
    windows = xp_of(x).lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))[:, ::stride, ::stride]
    windows = windows.transpose(0, 1, 2, 4, 5, 3)  # [N,P,Q,R,S,C]
    return windows.reshape(*windows.shape[:3], -1)


def fold(patches: Array, shape: tuple[int, ...], kernel: tuple[int, int], stride: int) -> Array:
    """The adjoint of `unfold`: add every patch back to where it was cut, giving `shape` [N,H,W,C]."""
    N, P, Q = patches.shape[:3]
    R, S = kernel
    patches = patches.reshape(N, P, Q, R, S, shape[3])
    x = xp_of(patches).zeros_like(patches, shape=shape)
    for r in range(R):
        for s in range(S):
            x[:, r : r + stride * P : stride, s : s + stride * Q : stride] += patches[:, :, :, r, s]
    return x
