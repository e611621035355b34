"""The programs that train: in each the name of the class that makes a model, and of that of its settings."""

from __future__ import annotations

import importlib
from typing import Any

SYSTEMS = {
    "train.cyclegan": ("CycleGAN", "Config"),
    "train.pix2pix": ("Pix2Pix", "Pix2PixConfig"),
    "train.augmented_cyclegan": ("AugmentedCycleGAN", "AugmentedConfig"),
    "train.stochastic_cyclegan": ("StochasticCycleGAN", "StochasticConfig"),
}


def classes(program: str) -> tuple[Any, Any]:
    """Both classes of a program. It is imported only now: each of them imports much of train."""
    module, (model, settings) = importlib.import_module(program), SYSTEMS[program]
    return getattr(module, model), getattr(module, settings)
