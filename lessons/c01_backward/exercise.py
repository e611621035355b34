"""Chapter 1. Fill in the holes, then: python -m lessons check 1"""

import numpy as np


def mul_backward(dz: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """z = x * y, all of one shape. dz is the gradient of z; return those of x and of y."""
    raise NotImplementedError("the gradients of x and y")


def sum_backward(dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """y = x.sum() is one number, and so is dy. Return the gradient of x, which has `shape`."""
    raise NotImplementedError("an array of this shape")


def unbroadcast(grad: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An input of `shape` was repeated to grad's shape, as NumPy does it. Add up what belongs to the same number.

    Two things can have happened: axes were put in front, and axes of length 1 were stretched.
    """
    raise NotImplementedError("grad, summed to `shape`")
