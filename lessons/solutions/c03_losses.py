"""Chapter 3, solved."""

import numpy as np


def lsgan(x: np.ndarray, target: float, weight: float) -> tuple[float, np.ndarray]:
    error = x - target
    return weight * (error * error).mean(), 2 * weight * error / x.size


best_least_squares = 0.8
best_hinge = 1
