"""Chapter 6, solved."""

import math

pool_makes_it = "larger"


def discriminator_slope(theta: float, psi: float) -> float:
    push = 1 / (1 + math.exp(theta * psi))
    return theta * push - 0.5 * psi  # the slope of -½ · ½ psi²
