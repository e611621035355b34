"""Chapter 14, solved."""

import triton
import triton.language as tl


@triton.jit
def l1(x, y, dx, partials, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    error = tl.load(x + at, mask=at < n, other=0.0) - tl.load(y + at, mask=at < n, other=0.0)
    tl.store(dx + at, tl.where(error > 0, 1.0, tl.where(error < 0, -1.0, 0.0)), mask=at < n)
    tl.store(partials + tl.program_id(0), tl.sum(tl.abs(error), 0))
