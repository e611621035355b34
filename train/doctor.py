"""The training doctor: named rules that tell from a run's records what commonly goes wrong, and which option to try.

    python -m train.doctor checkpoints/NAME     examine a run, also while it goes on; exit status 1 if something is found
    python -m train.doctor --rules              the rules

They stand in train/report/doctor.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.config.parser import Parser
from train.config.settings import Config
from train.errors import UserError
from train.files.history import History
from train.files.runs import find_run
from train.models.registry import elsewhere
from train.report.doctor import RULES, WINDOW, examine, table
from train.run.exit_code import exit_code


@exit_code()
def main(arguments: Sequence[str] | None = None) -> int:
    """The command `python -m train.doctor`; returns the exit status: 0 healthy, 1 something was found, 2 no such run."""
    options = parse(arguments)
    if options.rules:
        print(table())
        return 0
    folder = find_run(options.run, Path(Config.checkpoints_dir), "run", holds="metrics.jsonl").folder
    records = History(folder / "metrics.jsonl").read()
    if not records:
        raise UserError(f"{folder / 'metrics.jsonl'} holds no step yet")
    step = records[-1]["step"]
    scores = read(folder / "scores.json") or {}
    findings = examine(records, read(folder / "config.json"), scores if scores.pop("step", None) == step else None)
    for finding in findings:
        print(finding)
    if not findings:
        print(f"nothing to report after step {step}: {len(RULES)} rules looked at the last {WINDOW} looks")
    return 1 if findings else 0


def read(path: Path) -> dict[str, Any] | None:
    """A JSON file of a run; None where it is not there."""
    return json.loads(path.read_bytes()) if path.exists() else None


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. UserError for a wrong option, or where no run is named."""
    parser = Parser("train.doctor", elsewhere=elsewhere, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", nargs="?", help="a run: its folder, or its name under checkpoints")
    parser.add_argument("--rules", action="store_true", help="print the rules as a table (default: off)")
    options = parser.parse_args(arguments)
    if options.run is None and not options.rules:
        raise UserError("wanted the folder of a run, such as checkpoints/scenes, or --rules")
    return options


if __name__ == "__main__":
    sys.exit(main())
