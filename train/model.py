"""What a run (train/trainer.py) asks of a system: CycleGAN and its relatives all have this, and a class of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from kernels.device import Array, Device
from nn.module import Module
from nn.optim import Optimizer
from train.charts import Quantity
from train.data import Sample

Rows = list[dict[str, np.ndarray]]


class Model(Protocol):
    """The networks and optimisers of a system."""

    device: Device
    directions: ClassVar[tuple[str, ...]]
    """What `translate` knows: "AtoB", "BtoA" or both."""
    metric: ClassVar[tuple[str, ...]]
    """The losses whose sum says how good an epoch was; the plateau policy watches it."""
    legend: ClassVar[Mapping[str, str]]
    """What the columns of the sample grid show, for the report."""

    seen: dict[str, Array]
    """What the last step made, for train/watch.py: real_a, fake_b, … and the judges' scores D_A_real, D_A_fake, …"""

    def step(self, real_a: Array, real_b: Array, /) -> dict[str, float]:
        """One update of all players from pictures [N,H,W,C] in [-1, 1]; the weighted losses by name."""
        ...

    def sample_rows(self, pairs: Sequence[Sample], /) -> Rows:
        """The sample grid's rows: a picture [H,W,C] under each column's label."""
        ...

    def translate(self, pictures: Array, direction: str = "AtoB", /) -> np.ndarray:
        """Pictures [N,H,W,C] of one domain as the other, on the host."""
        ...

    def run_networks(self, real_a: Array, real_b: Array, /) -> None:
        """Every network at least once on these pictures, for train/diagnose.py."""
        ...

    def charts(self) -> list[Quantity]:
        """The report's charts of the losses."""
        ...

    def networks(self) -> Mapping[str, Module]: ...
    @property
    def optimizers(self) -> Mapping[str, Optimizer]:
        """By player: "g" and "d" where there are two."""
        ...

    def set_lr(self, lr: float, /) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], /) -> None: ...
