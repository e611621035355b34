"""The command `python -m train.cyclegan`: a run of train/models/cyclegan.py."""

from __future__ import annotations

import sys

from train.config.settings import Config
from train.models.cyclegan import CycleGAN

__all__ = ["Config", "CycleGAN", "main"]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    from train.run.command import run_command

    return run_command(CycleGAN, arguments)


if __name__ == "__main__":
    sys.exit(main())
