"""One training step, opened: a page on which everything that happens in it can be seen, and touched.

    python -m train.explain                                  a fresh tiny model, two built-in scenes
    python -m train.explain --weights checkpoints/NAME       the step that comes next in a run
    python -m train.explain --weights RUN --images a.jpg b.jpg
    python -m train.explain --text                           here, without a page

The graph of both players with shapes, parameters, multiply-accumulates, bytes kept and times; who learns, who is frozen and
what is cut in each turn; every loss with its formula; each generator's gradient by the loss it comes from; what the pools
decide; what a score of the discriminator sees, measured; activations and weights; all of it before and after the update.
The step is `CycleGAN.step` itself, on the CPU, and nothing in the run is changed. A fresh model computes by the references, in
NumPy, and so waits for no compiler; a run by the CPU's kernels. See docs/tour.md and lesson 10.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from kernels.dispatch import references
from train.config.parser import Parser
from train.evaluation.explained_step import explain
from train.evaluation.opening_step import subject
from train.files.folder_names import check_folder
from train.models.registry import elsewhere
from train.report.explain.page import pictures, title, write_page
from train.report.explain.text import text
from train.run.exit_code import exit_code


@exit_code("make room, check that you may write there, or choose another --output", "stopped; nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = parse(arguments)
    with contextlib.nullcontext() if options.weights else references():
        return opened_and_told(options)


def opened_and_told(options: argparse.Namespace) -> int:
    """Make the step, and the page or the text of it; the exit status."""
    opened = subject(options.weights, options.images)
    if not options.text:
        print(f"{title(opened)} {pictures(opened)}")
    step = explain(opened.model, opened.a, opened.b)
    print(
        text(step, f"{title(opened)} {pictures(opened)}")
        if options.text
        else f"{write_page(options.output, opened, step)}: open it in a browser"
    )
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. UserError for a wrong option or value."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = Parser(
        "train.explain", elsewhere=elsewhere, description=first, epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--weights",
        default="",
        metavar="RUN",
        help="a run: its name, its folder, or a checkpoint in that (default: a fresh tiny model)",
    )
    parser.add_argument(
        "--images", type=Path, nargs=2, default=(), metavar=("A", "B"),
        help="a picture of each domain (default: those that come next in the training)",
    )  # fmt: skip
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("explained"),
        metavar="DIR",
        help="folder for step.html (default: %(default)s)",
    )
    parser.add_argument("--text", action="store_true", help="print it, and write no page (default: off)")
    options = parser.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    check_folder(options.output, "--output")
    return options


if __name__ == "__main__":
    sys.exit(main())
