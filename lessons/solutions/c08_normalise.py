"""Chapter 8, solved."""

import numpy as np

EPS = 1e-5


def forward(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean()
    return centred / np.sqrt((centred**2).mean() + EPS)


def backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    x_hat = forward(x)
    return (dy - dy.mean() - x_hat * (dy * x_hat).mean()) / np.sqrt(x.var() + EPS)
