"""`palindrome-gan COMMAND [options]`: every program of the repository, from any folder."""
# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

COMMANDS = {  # command -> its module below this package, and what it does
    "train": ("train.cyclegan", "train CycleGAN: unpaired image-to-image translation; cyclegan is the same"),
    "cyclegan": ("train.cyclegan", ""),
    "pix2pix": ("train.pix2pix", "train pix2pix, from pairs"),
    "augmented_cyclegan": ("train.augmented_cyclegan", "train Augmented CycleGAN: many translations of one picture"),
    "stochastic_cyclegan": ("train.stochastic_cyclegan", "train CycleGAN with stochastic mappings"),
    "ablate": ("train.ablate", "train with parts of the loss left out, side by side"),
    "prepare": ("train.prepare.command", "fetch or make a data set"),
    "translate": ("train.translate", "pictures through a trained generator"),
    "serve": ("train.translate", "a page to drop pictures on: translate --serve"),
    "convert": ("train.convert", "weights from and to other programs"),
    "evaluate": ("train.evaluate", "score a run or a file of weights"),
    "probe": ("train.probe", "what a model hides in its pictures"),
    "explain": ("train.explain", "one training step, opened: a page on which to see everything in it"),
    "doctor": ("train.doctor", "what goes wrong in a run, and what to try"),
    "benchmarks": ("benchmarks.__main__", "how fast, and against whom"),
    "completion": ("", "how to have the shell complete commands and options"),
}
COMPLETION = """Completion of commands and options comes with argcomplete (pip install "palindrome-gan[completion]"). Then, in

    ~/.bashrc, ~/.zshrc        eval "$(register-python-argcomplete palindrome-gan)"
    config.fish                register-python-argcomplete --shell fish palindrome-gan | source
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status, 2 for a command that there is not."""
    if arguments is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as train/__init__.py has it
    if "_ARGCOMPLETE" in os.environ:
        complete()
    command, *rest = [*(sys.argv[1:] if arguments is None else arguments)] or ["--help"]
    if command in ("-h", "--help"):
        print("usage: palindrome-gan COMMAND [options]; palindrome-gan COMMAND --help lists a command's options\n")
        print("\n".join(f"  {name:<20} {about}" for name, (_, about) in COMMANDS.items() if about))
        return 0
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"error: there is no command {command}{hint} (palindrome-gan --help lists all)", file=sys.stderr)
        return 2
    if command == "completion":
        print(COMPLETION, end="")
        return 0
    sys.path.append(os.getcwd())  # for --system MODULE; last, so that no file of a user's hides anything
    return program(command)(["--serve", *rest] if command == "serve" else rest)


def program(command: str) -> Any:
    """The `main` of a command's module."""
    return importlib.import_module(f"palindrome_gan.{COMMANDS[command][0]}").main


def complete() -> None:
    """Answer the shell and end: it runs the command, with the line so far in the environment, to ask how it may go on."""
    import argcomplete

    typed = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
    words = typed.split() + [""] * typed.endswith(" ")
    if len(words) < 3 or words[1] not in COMMANDS:
        parser = argparse.ArgumentParser()
        parser.add_argument("command", choices=[*COMMANDS])
        argcomplete.autocomplete(parser)
    elif words[1] != "completion":
        os.environ["_ARGCOMPLETE"] = "2"  # the second word is the program's name
        ways = {name: getattr(argparse.ArgumentParser, name) for name in ("parse_args", "parse_known_args")}

        def answer(parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
            """In place of parsing: a program has made its parser, which knows its options."""
            for name, way in ways.items():
                setattr(argparse.ArgumentParser, name, way)
            argcomplete.autocomplete(parser)

        for name in ways:
            setattr(argparse.ArgumentParser, name, answer)
        program(words[1])(words[2:])
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
