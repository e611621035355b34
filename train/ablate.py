"""The paper's ablation study in one command: variants of CycleGAN on one data set whose truth is known, side by side.

What is varied and what the paper found: train/run/ablation.py. How each variant is judged: train/evaluation/verdict.py.
"""

from __future__ import annotations

import sys

from train.config.options import parse
from train.errors import UserError
from train.models.registry import elsewhere
from train.run.ablation import AblationConfig, study
from train.run.exit_code import exit_code


@exit_code()
def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    settings, continued, _ = parse(arguments, "train.ablate", __doc__, AblationConfig, elsewhere=elsewhere)
    if continued:
        raise UserError("--continue_train: leave it out, the study goes on with what is there by itself")
    page = study(AblationConfig(**settings))
    print(f"\npage     {page}\nfigures  {page.with_name('ablation.json')}\npicture  {page.with_name('ablation.png')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
