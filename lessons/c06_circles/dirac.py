"""The smallest GAN there is: one real point at 0, one fake at theta, and a discriminator psi * x (Mescheder et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STEPS = 4000
RATE = 0.1
START = (1.0, 0.0)  # theta, psi

Slope = Callable[[float, float], float]


def push(t: float) -> float:
    """The slope of log σ(-t) turned round: σ(-t), how strongly a score t moves the two."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(t))


def generator_slope(theta: float, psi: float) -> float:
    """Where the fake goes: up the score, if psi says that up is real."""
    return -psi * push(theta * psi)


def discriminator_slope(theta: float, psi: float) -> float:
    """How psi moves: it leans so that the fake is scored low."""
    return theta * push(theta * psi)


def play(
    d_slope: Slope = discriminator_slope, *, together: bool = False, decay: bool = False, pool: int = 0,
    steps: int = STEPS, start: tuple[float, float] = START, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """The path (theta, psi), [steps+1,2]. In turn, or `together`; `decay` lets the rate fall to 0; D sees a `pool` of past fakes."""
    (theta, psi), rng = start, np.random.default_rng(seed)
    path = [(theta, psi)]
    past: list[float] = []
    for step in range(steps):
        rate = RATE * (1 - step / steps if decay else 1)
        moved = theta + rate * generator_slope(theta, psi)
        seen = theta if together else moved
        if pool:
            past = [*past[-(pool - 1) :], seen]
            seen = past[rng.integers(len(past))] if rng.random() < 0.5 else seen
        psi += rate * d_slope(seen, psi)
        theta = moved
        path.append((theta, psi))
    return np.array(path)


def end(path: np.ndarray) -> float:
    """How far from (0, 0), where both would rest, the last 500 steps go."""
    return float(np.sqrt((path[-500:] ** 2).sum(1)).max())
