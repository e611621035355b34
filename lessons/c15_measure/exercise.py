"""Chapter 15. Fill in the hole, then: python -m lessons check 15"""

from collections.abc import Callable

import numpy as np


def trusted(run: Callable[[np.ndarray], np.ndarray], truth: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> bool:
    """Whether a time of `run` may be printed: it computes what `truth` computes, to about 1e-6, and leaves its input alone.

    Liars know how people test. They remember answers, compute half of it, or are right in their first calls only. Call `run` as
    often as you like, on whatever data you like; x says of what shape and type.
    """
    raise NotImplementedError("what must hold before a speed is believed?")
