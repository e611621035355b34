"""Some pictures of a batch on the GPU. Grid: one program for 1024 elements of dx. Bytes: dy read, dx written once.

Pictures that are taken from one batch each send a gradient of all of it; what has come for the batch before is added here.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.epilogue import Epilogue
from kernels.gpu.launch import contiguous, empty, launch

EPILOGUE = True
BLOCK = 1024


@triton.jit
def _place(dy, onto, dx, first, length, n, BLOCK: tl.constexpr):
    """Program i owns elements [i BLOCK, (i + 1) BLOCK) of n of dx: dy where from `first` on its `length` elements lie, else 0; plus onto, if there is one."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    there = (at >= first) & (at < first + length)
    value = tl.load(dy + at - first, mask=there, other=0.0).to(tl.float32)
    if onto is not None:
        value += tl.load(onto + at, mask=at < n, other=0.0).to(tl.float32)
    tl.store(dx + at, value, mask=at < n)


def backward(dy: Array, *, count: int, start: int, epilogue: Epilogue | None = None) -> Array:
    dy, onto = contiguous(dy, None if epilogue is None else epilogue.onto)
    dx = empty(dy, (count, *dy.shape[1:]))
    # Program i owns elements [1024 i, 1024 (i + 1)) of dx.
    first = start * (dy.size // len(dy))
    sizes = (first, dy.size, dx.size)
    nbytes = dy.nbytes + dx.nbytes + (0 if onto is None else onto.nbytes)
    launch(_place, (triton.cdiv(dx.size, BLOCK),), dy, onto, dx, *sizes, bytes=nbytes, BLOCK=BLOCK)
    return dx
