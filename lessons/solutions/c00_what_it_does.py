"""Chapter 0, solved."""

import numpy as np

perfect_pairings = 24
undecided_d = 0.25
undecided_g = 0.25


def pairing(points: np.ndarray, centres: np.ndarray) -> list[int]:
    squares = ((points[:, None] - centres[None]) ** 2).sum(axis=2)  # [N,M]
    return [int(i) for i in squares.argmin(axis=1)]
