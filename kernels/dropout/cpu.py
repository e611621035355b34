"""Dropout on the CPU: the reference, whose coins are one operation where a step is noted."""

from __future__ import annotations

import numpy as np

from kernels.cpu.noted import operation
from kernels.device import Array
from kernels.dropout.reference import kept, scaled


def forward(x: Array, *, p: float, key: int | Array) -> Array:
    return scaled(x, p, coins(np, x.shape, p, key))


coins, backward = operation(kept), forward
