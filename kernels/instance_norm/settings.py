"""What follows the normalisation, and the number that keeps it from dividing by 0: one frozen record that checks itself."""

from __future__ import annotations

import functools
from dataclasses import dataclass

SLOPES = {"none": 1.0, "relu": 0.0}


@dataclass(frozen=True)
class NormSettings:
    """`activation` is "none", "relu" or "leaky_relu", with `slope` below 0; `eps` is added to the variance."""

    activation: str = "none"
    slope: float = 0.2
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.activation not in (*SLOPES, "leaky_relu"):
            raise ValueError(f"instance_norm: unknown activation {self.activation!r}; wanted none, relu or leaky_relu")

    @property
    def negative_slope(self) -> float:
        """The activation's slope below 0."""
        return float(SLOPES.get(self.activation, self.slope))


norm_settings = functools.cache(NormSettings)
"""One record for all calls with the same settings."""
