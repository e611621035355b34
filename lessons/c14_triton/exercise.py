"""Chapter 14. Fill in the hole, then: python -m lessons check 14   (needs Triton: Linux, pip install triton)"""

import triton
import triton.language as tl


@triton.jit
def l1(x, y, dx, partials, n, BLOCK: tl.constexpr):
    """dx = sign(x - y), and partials[i] = the sum of |x - y| over the elements that program i owns.

    Program i owns elements [i BLOCK, (i + 1) BLOCK) of n. Lanes past the end must neither read, nor write, nor count.
    """
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]  # noqa: F841
    # load, subtract, store the sign, store the sum: tl.load(p, mask=, other=), tl.store(p, v, mask=), tl.where, tl.abs, tl.sum(v, 0)
