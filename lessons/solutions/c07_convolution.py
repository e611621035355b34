"""Chapter 7, solved."""

import numpy as np


def mirror(x: np.ndarray, pad: int) -> np.ndarray:
    x = np.concatenate([x[1 : pad + 1][::-1], x, x[-pad - 1 : -1][::-1]], axis=0)
    return np.concatenate([x[:, 1 : pad + 1][:, ::-1], x, x[:, -pad - 1 : -1][:, ::-1]], axis=1)


def unfold(x: np.ndarray, size: int) -> np.ndarray:
    rows, columns = x.shape[0] - size + 1, x.shape[1] - size + 1
    return np.array([x[i : i + size, j : j + size].ravel() for i in range(rows) for j in range(columns)])


def fold(patches: np.ndarray, shape: tuple[int, int], size: int) -> np.ndarray:
    x, columns = np.zeros(shape), shape[1] - size + 1
    for k, patch in enumerate(patches):
        i, j = divmod(k, columns)
        x[i : i + size, j : j + size] += patch.reshape(size, size)
    return x
