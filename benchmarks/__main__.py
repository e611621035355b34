"""`python -m benchmarks COMMAND [options]`; see `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence

from benchmarks.worker import WorkerError
from train.errors import UserError

COMMANDS = {  # each is a module with configure(parser) and run(arguments) -> exit status
    "step": "the full training step, ours beside torch",
    "translate": "the generator's forward, ours beside torch and onnxruntime",
    "kernels": "every op at its real layer shapes, against torch and this machine's peaks",
    "profile": "where one training step goes, op by op",
    "roof": "a step on the CPU beside its products at the machine's best rate, and what the rest is",
    "scaling": "how step time and memory grow with picture, channels and batch",
    "first_run": "all that a machine with a GPU should be asked first: is it right, how fast, and how far from the prediction",
    "scale": "how a step scales over ranks, measured here and predicted for GPUs",
    "host_cost": "what Python takes to launch a kernel, with or without a GPU",
    "compile_report": "every kernel compiled for GPUs without one: registers, spills, tensor cores, predicted step",
    "measured": "that prediction beside what others have measured of their kernels",
}
ABSENT = {  # why a module is needed, and where to stand or what to type to have it
    "tests": "results are checked by the repository's tests/: stand in its root, or from any folder palindrome-gan benchmarks",
    "torch": 'results are checked against PyTorch: pip install -e ".[bench]"',
    "cupy": 'launches are followed over CuPy arrays: pip install -e ".[dev]"',
    "triton": 'kernels are recorded and compiled by Triton: pip install -e ".[test]"',
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for a wrong result, 2 for what cannot be used or is not installed."""
    try:
        args = parse(sys.argv[1:] if arguments is None else arguments)
        return args.run(args)
    except UserError as error:
        problem = str(error)
    except (ModuleNotFoundError, WorkerError) as error:  # a worker's: of the truth, without which nothing is measured
        name = getattr(error, "name", "") or "".join(re.findall(r"No module named '(.*?)'", str(error)))
        if name.partition(".")[0] not in ABSENT:
            raise
        problem = f"{error}; {ABSENT[name.partition('.')[0]]}"
    print(f"error: {problem}", file=sys.stderr)
    return 2


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The command line. Of the commands, only the one that is asked for is imported."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast, and against whom.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        asked = importlib.import_module(f"{__package__}.{name}") if name in words[:1] else None
        sub = commands.add_parser(name, help=text, description=asked.__doc__ if asked else None)
        if asked:
            asked.configure(sub)
            sub.set_defaults(run=asked.run)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
