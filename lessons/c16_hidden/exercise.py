"""Chapter 16. Fill in the holes, then: python -m lessons check 16"""

import numpy as np


def hide(picture: np.ndarray, bit: bool) -> np.ndarray:
    """picture [H,W,3] in -1 … 1 with one bit in it; no value may change by more than 0.03."""
    raise NotImplementedError("a change that is easy to find and hard to see")


def read(picture: np.ndarray) -> bool:
    """The bit, from a picture that was rounded to 8 bits and has noise of 0.05 on it, without the one that it was made of."""
    raise NotImplementedError("True or False")
