"""Chapter 6. Fill in the holes, then: python -m lessons check 6"""

import math

# Players move in turn. Does a pool of 50 past fakes make the circle in this game "larger" or "smaller"? Look at the table.
pool_makes_it = None


def discriminator_slope(theta: float, psi: float) -> float:
    """How psi moves, with a penalty of your own that lets the game come to rest at (0, 0).

    Without one it is theta * σ(-theta * psi).
    """
    push = 1 / (1 + math.exp(theta * psi))
    return theta * push  # and?
