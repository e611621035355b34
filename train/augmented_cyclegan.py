"""The command `python -m train.augmented_cyclegan`: a run of train/models/augmented_cyclegan.py."""

from __future__ import annotations

import sys

from train.models.augmented_cyclegan import AugmentedConfig, AugmentedCycleGAN

__all__ = ["AugmentedConfig", "AugmentedCycleGAN", "main"]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    from train.run.command import run_command

    return run_command(AugmentedCycleGAN, arguments)


if __name__ == "__main__":
    sys.exit(main())
