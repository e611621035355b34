"""Ways to measure that look right and are not: each takes contestants (functions of x) and gives seconds for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

Contestants = Mapping[str, Callable[[np.ndarray], np.ndarray]]


def once(run: Callable[..., object], *arguments: object) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def fair(contestants: Contestants, x: np.ndarray, rounds: int = 30) -> dict[str, float]:
    """The least of many calls, the contestants in turn, each warmed up, each on fresh data that lies in the same cache."""
    for run in contestants.values():
        run(x.copy())
    least = dict.fromkeys(contestants, np.inf)
    for _ in range(rounds):
        for name, run in contestants.items():
            fresh = x.copy()
            least[name] = min(least[name], once(run, fresh))
    return least


def first_call(contestants: Contestants, x: np.ndarray) -> dict[str, float]:
    """One call each: whoever must load, compile or fill something first pays for it here, once for all."""
    return {name: once(run, x) for name, run in contestants.items()}


# -- contestants: 2x + 1, and five that say that they compute what an honest one does. The tests of our own races
# (tests/test_race.py) make kernels of them.

Run = Callable[..., np.ndarray]


def honest(x: np.ndarray) -> np.ndarray:
    return 2 * x + 1


def remembers(run: Run) -> Run:
    """Keeps answers by the array's shape."""
    seen: dict[tuple[int, ...], np.ndarray] = {}

    def liar(x: np.ndarray, **settings: object) -> np.ndarray:
        if x.shape not in seen:
            seen[x.shape] = run(x, **settings)
        return seen[x.shape]

    return liar


def less_exact(run: Run) -> Run:
    """Half the bytes: computes in float16."""
    return lambda x, **settings: run(x.astype(np.float16), **settings).astype(x.dtype)


def half_of_it(run: Run) -> Run:
    """The second half is left as it came."""

    def liar(x: np.ndarray, **settings: object) -> np.ndarray:
        y = x.flatten()
        y[: x.size // 2] = run(y[: x.size // 2], **settings)
        return y.reshape(x.shape)

    return liar


def into_its_input(run: Run) -> Run:
    """Writes into x: saves an array, and the next call begins with another x."""

    def liar(x: np.ndarray, **settings: object) -> np.ndarray:
        x[...] = run(x, **settings)
        return x

    return liar


def tires(run: Run) -> Run:
    """Right while it is looked at: after the third call it gives back what it had."""
    answers: list[np.ndarray] = []

    def liar(x: np.ndarray, **settings: object) -> np.ndarray:
        if len(answers) < 3:
            answers.append(run(x, **settings))
        return answers[-1]

    return liar


LIARS: dict[str, Callable[[Run], Run]] = {
    "remembers answers": remembers,
    "less exact": less_exact,
    "half of it": half_of_it,
    "writes into its input": into_its_input,
    "right only while looked at": tires,
}
