"""What can be said of a score that several runs gave: mean, deviation, and how far the mean itself may be off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

RESAMPLES = 10_000


class Summary(TypedDict):
    """deviation: of one run (divisor N - 1). interval: within it 95 % of the means of N values that are drawn from these."""

    mean: float
    deviation: float
    interval: list[float]
    values: list[float]


def summary(values: Sequence[float]) -> Summary:
    """Of at least two values. The bootstrap (percentiles; Efron 1979) draws the same whenever asked. With few values its interval
    is too narrow: with three, N - 1 for N alone makes it so by a fifth."""
    x = np.asarray(values, np.float64)
    draws = np.random.default_rng(0).integers(len(x), size=(RESAMPLES, len(x)))
    low, high = np.percentile(x[draws].mean(axis=1), [2.5, 97.5])
    return Summary(
        mean=float(x.mean()), deviation=float(x.std(ddof=1)), interval=[float(low), float(high)], values=x.tolist()
    )
