"""Conversion between precisions in plain array code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernels.device import Array


def forward(x: Array, *, dtype: Any) -> Array:
    return x.astype(dtype)


def many(xs: Sequence[Array], *, dtype: Any) -> list[Array]:
    return [forward(x, dtype=dtype) for x in xs]
