"""The command `python -m train.stochastic_cyclegan`: a run of train/models/stochastic_cyclegan.py."""

from __future__ import annotations

import sys

from train.models.stochastic_cyclegan import StochasticConfig, StochasticCycleGAN

__all__ = ["StochasticConfig", "StochasticCycleGAN", "main"]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    from train.run.command import run_command

    return run_command(StochasticCycleGAN, arguments)


if __name__ == "__main__":
    sys.exit(main())
