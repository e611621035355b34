"""The exponential moving average in plain array code."""

from __future__ import annotations

from collections.abc import Sequence

from kernels.device import Array


def update(averages: Sequence[Array], now: Sequence[Array], *, share: float | Array) -> None:
    for average, weights in zip(averages, now, strict=True):
        average += share * (weights - average)
