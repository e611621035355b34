"""Chapter 15, solved."""

from collections.abc import Callable

import numpy as np


def trusted(run: Callable[[np.ndarray], np.ndarray], truth: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> bool:
    rng = np.random.default_rng()
    for _ in range(20):
        fresh = rng.standard_normal(x.shape).astype(x.dtype)
        kept = fresh.copy()
        y = run(fresh)
        if not np.array_equal(fresh, kept) or y.dtype != x.dtype or y.shape != truth(kept).shape:
            return False
        if not np.allclose(y, truth(kept), rtol=1e-6, atol=1e-6):
            return False
    return True
