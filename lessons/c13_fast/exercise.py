"""Chapter 13. Make it faster, then: python -m lessons check 13"""

import numpy as np


def mirror(x: np.ndarray, pad: int) -> np.ndarray:
    """x [N,H,W,C] float32 with `pad` mirrored pixels on each side of H and W.

    This is right, and it is what kernels/reflection_pad/reference.py does. Be at least 1.2 times as fast at [1,256,256,3], pad 3.
    Hint: np.pad makes several copies. Make the result once, np.empty, and write each part of it once.
    """
    return np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
