"""The image pool's exchange on the GPU: one launch, and the decisions are read there, so that a captured graph can swap.

Grid: one program for 1024 elements of a picture; it goes through all N pictures in turn, since a picture may be answered with
one that came a moment before. Bytes: images read, chosen written, and at most as much again read from and written to buffer.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.device import Array
from kernels.gpu.launch import contiguous, empty, launch

BLOCK = 1024


@triton.jit
def _exchange(images, buffer, decisions, chosen, n, count, BLOCK: tl.constexpr):
    """Program i owns elements [i BLOCK, (i + 1) BLOCK) of every picture and of every place in the buffer.

    images     [count,n], new pictures                    chosen     [count,n], written: what they are answered with
    buffer     [size,n], remembered ones, changed         decisions  [count,2] int32: place and old of each, in turn
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    inside = at < n
    for i in range(count):
        place, old = tl.load(decisions + 2 * i), tl.load(decisions + 2 * i + 1)
        slot = buffer + place.to(tl.int64) * n + at
        new = tl.load(images + at, mask=inside, other=0.0)
        held = tl.load(slot, mask=inside & (old == 1), other=0.0)
        tl.store(slot, new, mask=inside & (place >= 0))
        tl.store(chosen + at, tl.where(old == 1, held, new), mask=inside)
        tl.debug_barrier()  # the next picture may be answered with this one, and loaded by other threads than have stored it
        images += n  # the next one: in 64 bits, as pointers are
        chosen += n


def forward(images: Array, buffer: Array, decisions: Array) -> Array:
    (images,) = contiguous(images)
    if images.shape[1:] != buffer.shape[1:] or images.dtype != buffer.dtype:
        raise ValueError(f"image_pool: {images.dtype} {images.shape} given, kept are {buffer.dtype} {buffer.shape}")
    chosen, n = empty(images, images.shape), images[0].size
    # Program i owns elements [1024 i, 1024 (i + 1)) of every picture and of every place in the buffer.
    launch(
        _exchange, (triton.cdiv(n, BLOCK),), images, buffer, decisions, chosen, n, len(images),
        bytes=4 * images.nbytes, BLOCK=BLOCK,
    )  # fmt: skip
    return chosen
