"""What is attacked: functions from a file to something sound, or a UserError. Each does all that a command does with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from train.weights import formats


def weights(path: Path) -> None:
    """As `python -m train.convert` reads networks: recognised, built, loaded."""
    networks = [found.network() for found in formats.load(path).values()]
    for network in networks:
        for value in network.state_dict().values():
            assert isinstance(value, np.ndarray) and value.dtype == np.float32


READERS: dict[str, Callable[[Path], None]] = {"weights": weights}
