"""Chapter 7. Fill in the holes, then: python -m lessons check 7"""

import numpy as np


def mirror(x: np.ndarray, pad: int) -> np.ndarray:
    """x [H,W] with `pad` mirrored pixels on each side: [H+2p,W+2p]. The edge itself is not repeated: c b [a b c …] for pad 2.

    Without np.pad: slices that run backwards, put together.
    """
    raise NotImplementedError("first the rows above and below, then the columns")


def unfold(x: np.ndarray, size: int) -> np.ndarray:
    """All size×size patches of x [H,W], one row each, from left to right and then downwards: [(H-s+1)*(W-s+1), s*s]."""
    raise NotImplementedError("one row for each place at which a patch fits")


def fold(patches: np.ndarray, shape: tuple[int, int], size: int) -> np.ndarray:
    """The way back of a gradient: patches as `unfold` makes them, each added to where it was cut from; gives `shape`."""
    raise NotImplementedError("start from zeros; add, do not overwrite")
