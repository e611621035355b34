"""Does a trained model hide information? And does its code z do anything? For a run of any system that translates both ways.

    python -m train.probe --name RUN

B → A → B can only return exactly if what A lacks is carried somewhere: in a code, or hidden in the fake A as faint texture
(Chu, Zhmoginov and Sandler 2017, CycleGAN, a Master of Steganography). A hidden message does not survive noise, rounding to
8 bits or JPEG; what the picture shows does. Prints figures and writes them, probe.json and probe.png in the run's folder and
a section of its report.html:

    noise       mean |B - back(fake A + noise)| on a scale of 0 to 255, for noise of standard deviation 0 to 5 of 255
    8 bit, JPEG the same after the fake A was stored as a file would be
    texture     share of the fake A's energy (about its mean) in the upper half of the frequencies, beside that of real As
    variety     mean difference between translations of one A with different codes, 0 to 255; the same for fake As;
                and with two-sided codes between translations of one B with different codes of A
    hues        with --builtin colours: 0 all codes paint one hue, 1 all hues alike (circular variance), beside the truth
    true pairs  A -> B for a pair (A, B), with the code that is read from it and with another: how far it is off, in hue too
    hues kept   and B -> A -> B, with a code that knows nothing of B: 1 each hue returns, about 0 none does. A gray A shows
                no hue, so what returns was hidden in it
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.config.parser import Parser
from train.config.settings import Config
from train.data.plain import test_samples
from train.errors import UserError
from train.evaluation.probe import probe, rows, table
from train.evaluation.subject import from_run
from train.models.registry import OWN, elsewhere, include
from train.report.probe import write_probe
from train.run.exit_code import exit_code

SHOWN = 4  # test images in the picture


@exit_code()
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = parse(arguments)
    if options.system:
        include(options.system)
    subject = from_run(options.name, options.checkpoints_dir, "latest", {})
    if set(subject.model.directions) != {"AtoB", "BtoA"}:
        raise UserError(f"run {options.name!r} translates one way only; the probe goes there and back")
    pairs = test_samples(subject.config, options.num_test)
    found = {"step": subject.about["step"]} | probe(subject.model, subject.config, pairs)
    grid, folder = rows(subject.model, pairs[:SHOWN]), subject.output.parent
    written = write_probe(folder, found, grid, f"{folder.name}, probe")
    print(f"{table(found)}\n\n{written}")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. UserError for a wrong option or value."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = Parser(
        "train.probe",
        elsewhere=elsewhere,
        description=first,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", default="", help="a run: its name under --checkpoints_dir, or its folder")
    parser.add_argument(
        "--checkpoints_dir",
        type=Path,
        default=Path(Config.checkpoints_dir),
        help="folder of all runs (default: %(default)s)",
    )
    parser.add_argument("--system", default="", metavar="MODULE", help=OWN)
    parser.add_argument("--num_test", type=int, default=16, help="test images to use, at most (default: %(default)s)")
    options = parser.parse_args(sys.argv[1:] if arguments is None else list(arguments))
    if options.num_test < 1:
        raise UserError(f"--num_test is {options.num_test}; wanted at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
