"""The command `python -m train.pix2pix`: a run of train/models/pix2pix.py."""

from __future__ import annotations

import sys

from train.models.pix2pix import Pix2Pix, Pix2PixConfig

__all__ = ["Pix2PixConfig", "Pix2Pix", "main"]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    from train.run.command import run_command

    return run_command(Pix2Pix, arguments)


if __name__ == "__main__":
    sys.exit(main())
