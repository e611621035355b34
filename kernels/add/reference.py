"""Addition in plain array code."""

from __future__ import annotations

import functools
import operator

from kernels.device import Array


def forward(*xs: Array) -> Array:
    return functools.reduce(operator.add, xs)
