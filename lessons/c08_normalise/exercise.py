"""Chapter 8. Fill in the hole, then: python -m lessons check 8"""

import numpy as np

EPS = 1e-5


def forward(x: np.ndarray) -> np.ndarray:
    """x [M], the M pixels of one channel of one picture: mean 0 and variance 1. This one is right."""
    centred = x - x.mean()
    return centred / np.sqrt((centred**2).mean() + EPS)


def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx [M]. Write it with x_hat = forward(x): three terms in brackets, and one factor before them."""
    raise NotImplementedError("dx")
