"""Convolution as one matrix product over unfolded patches (im2col)."""

from __future__ import annotations

from kernels.device import Array, xp_of
from kernels.reflection_pad import reference as reflection_pad


def forward(
    x: Array, w: Array, b: Array | None = None, *, stride: int = 1, padding: int = 0, padding_mode: str = "zeros"
) -> Array:
    check(x, w, padding)
    K = w.shape[-1]
    patches = unfold(pad(x, padding, padding_mode), w.shape[:2], stride)  # [N,P,Q,R*S*C]
    y = patches @ w.reshape(-1, K)  # [N,P,Q,K]
    if b is not None:
        y += b
    return y


def backward(
    dy: Array,
    x: Array,
    w: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    padding_mode: str = "zeros",
    need: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    K = w.shape[-1]
    dx = dw = db = None
    dy = dy.reshape(*dy.shape[:3], K)
    if need[0]:
        dpatches = dy @ w.reshape(-1, K).T  # [N,P,Q,R*S*C]
        padded = (x.shape[0], x.shape[1] + 2 * padding, x.shape[2] + 2 * padding, x.shape[3])
        dx = unpad(fold(dpatches, padded, w.shape[:2], stride), padding, padding_mode)  # [N,H,W,C]
    if need[1]:
        patches = unfold(pad(x, padding, padding_mode), w.shape[:2], stride)
        dw = (patches.reshape(-1, patches.shape[-1]).T @ dy.reshape(-1, K)).reshape(w.shape)  # [R,S,C,K]
    if need[2]:
        db = dy.reshape(-1, K).sum(axis=0)  # [K]
    return dx, dw, db


def check(x: Array, w: Array, padding: int) -> None:
    """ValueError unless x [N,H,W,C] and w [R,S,C,K] fit."""
    if x.ndim != 4 or x.shape[3] != w.shape[2]:
        raise ValueError(f"conv2d: input {x.shape} does not fit weight {w.shape}; wanted [N,H,W,{w.shape[2]}]")
    if x.dtype != w.dtype:
        raise TypeError(f"conv2d: input is {x.dtype} but weight is {w.dtype}; convert one of them")
    if min(x.shape[1] - w.shape[0], x.shape[2] - w.shape[1]) + 2 * padding < 0:
        raise ValueError(
            f"conv2d: a picture of {x.shape[1]}x{x.shape[2]} with padding {padding} is smaller than the "
            f"{w.shape[0]}x{w.shape[1]} kernel; use larger images or fewer strided layers"
        )


def check_padding_mode(padding_mode: str) -> None:
    """ValueError for a way of padding that there is not."""
    if padding_mode not in ("zeros", "reflect"):
        raise ValueError(f"conv2d: unknown padding_mode {padding_mode!r}; wanted zeros or reflect")


def pad(x: Array, padding: int, padding_mode: str) -> Array:
    """x with `padding` pixels added on each side: zeros or mirrored."""
    if not padding:
        return x
    if padding_mode == "reflect":
        return reflection_pad.forward(x, pad=padding)
    return xp_of(x).pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def unpad(dx: Array, padding: int, padding_mode: str) -> Array:
    """The adjoint of `pad`."""
    if not padding:
        return dx
    if padding_mode == "reflect":
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
    x = xp_of(patches).zeros(shape, patches.dtype)
    for r in range(R):
        for s in range(S):
            x[:, r : r + stride * P : stride, s : s + stride * Q : stride] += patches[:, :, :, r, s]
    return x
