"""Compiles ahead, in a process beside the one that trains, what the first training step will want.

numba compiles one function at a time in a process, and keeps the code on disk, where other processes find it. So, when the
first kernel is to be compiled, kernels/cpu/compiler.py starts this program on another core. It computes with each op once,
those first whose kernels a step wants last: by the time the step comes there, their code lies ready. Nothing is agreed upon:
what both compile at the same time is compiled twice, and if this process dies, the other compiles all.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import numpy as np

from kernels.conv2d.geometry import Geometry
from kernels.device import Device
from kernels.dispatch import implementation
from kernels.instance_norm.settings import NormSettings


def rehearse() -> None:
    """Compile what is not kept yet. Ctrl-C, or the end of whoever started this, ends it at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for op, name, arguments, options in CALLS:
        getattr(implementation(op, Device("cpu")), name)(*arguments, **options)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # returns when the other end of the pipe is closed
    os._exit(0)


def _ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def _backward(C: int, size: int, *need: bool) -> tuple[str, str, tuple[Any, ...], dict[str, Any]]:
    """Of a convolution from C channels to 16."""
    y, x, w = _ones(1, 16, 16, 16), _ones(1, 16, 16, C), _ones(size, size, C, 16)
    return "conv2d", "backward", (y, x, w), dict(geometry=Geometry(1, size // 2), need=need)


_picture, _moment, _adam = _ones(1, 16, 16, 16), _ones(1, 16), dict(lr=0.1, beta1=0.5, beta2=0.9, eps=1e-8, step=1)
CALLS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    _backward(16, 3, True, False, False),  # also the way forward of a transposed convolution
    ("adam", "update", ([_moment], [_moment], [_moment], [_moment]), _adam),
    _backward(16, 3, False, True, False),
    _backward(3, 7, False, True, False),
    ("reflection_pad", "backward", (_picture,), dict(pad=3)),
    ("instance_norm", "backward", (_picture, _picture, _moment, _moment), dict(norm=NormSettings())),
    ("leaky_relu", "backward", (_picture, _picture), dict(slope=0.2)),
    ("conv2d", "forward", (_picture, _ones(7, 7, 16, 3), _ones(3)), dict(geometry=Geometry(1, 3))),
    ("conv2d", "forward", (_picture, _ones(3, 3, 16, 16)), dict(geometry=Geometry(1, 1))),
]
