"""Chapter 17. Fill in the holes, then: python -m lessons check 17"""

import numpy as np

# The same gray picture goes twice through a generator without a code and without noise. How many different answers come out?
answers_without_a_code = None


def coverage(points: np.ndarray, centres: np.ndarray) -> float:
    """How evenly `points` [N,2] are shared among `centres` [M,2], each going to the nearest: M times the rarest one's share.

    1.0 if all get as many; 0.0 as soon as one gets none.
    """
    raise NotImplementedError("count, take the smallest share, times M")
