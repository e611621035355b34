"""`python -m benchmarks COMMAND [options]`; see `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import importlib
import sys

from train.errors import UserError

COMMANDS = {  # each is a module with configure(parser) and run(arguments) -> exit status
    "step": "the full training step, ours beside torch",
    "translate": "the generator's forward, ours beside torch and onnxruntime",
    "kernels": "every op at its real layer shapes, against torch and this machine's peaks",
    "profile": "where one training step goes, op by op",
    "scaling": "how step time and memory grow with picture, channels and batch",
    "compile_report": "every kernel compiled for GPUs without one: registers, spills, tensor cores, predicted step",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for a wrong result, 2 for an option that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast, and against whom.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        module = importlib.import_module(f"{__package__}.{name}")
        sub = commands.add_parser(name, help=text, description=module.__doc__)
        module.configure(sub)
        sub.set_defaults(run=module.run)
    args = parser.parse_args(arguments)
    try:
        return args.run(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
