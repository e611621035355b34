"""Grades chapter 13."""

from __future__ import annotations

import time
from types import ModuleType

import numpy as np

from kernels.reflection_pad import reference
from lessons.grading import compare, demand

WANTED = 1.2


def check_right(exercise: ModuleType) -> None:
    """mirror: right, at several sizes"""
    rng = np.random.default_rng(0)
    for shape, pad in (((2, 5, 7, 3), 1), ((1, 4, 4, 1), 3), ((1, 9, 6, 2), 2)):
        x = rng.standard_normal(shape).astype(np.float32)
        before = x.copy()
        compare(
            f"{shape} mirrored by {pad}",
            exercise.mirror(x, pad),
            reference.forward(x, pad=pad),
            "beyond the edge the picture runs backwards; the edge itself comes once; corners are mirrored twice",
            0.0,
        )
        demand(np.array_equal(x, before), "your function changed its input")


def check_fast(exercise: ModuleType) -> None:
    """mirror: at least 1.2 times as fast as the reference"""
    x = np.random.default_rng(1).standard_normal((1, 256, 256, 3)).astype(np.float32)
    least = {"yours": np.inf, "reference": np.inf}
    for _ in range(60):  # taking turns, so that both meet the same weather
        for name, run in (("yours", lambda: exercise.mirror(x, 3)), ("reference", lambda: reference.forward(x, pad=3))):
            start = time.perf_counter()
            run()
            least[name] = min(least[name], time.perf_counter() - start)
    ratio = least["reference"] / least["yours"]
    demand(
        ratio >= WANTED,
        f"yours {1e3 * least['yours']:.3f} ms, reference {1e3 * least['reference']:.3f} ms: {ratio:.2f} times as fast, wanted {WANTED}.\nEvery number is read once and written once at best; how often does yours touch the middle of the picture?",
    )
