"""Pictures through a trained generator: a file, a folder with its sub-folders, or a pattern.

    python -m train.translate --weights checkpoints/NAME --input photos --output translated
    python -m train.translate --weights latest_net_G.pth --input 'photos/*.jpg' --output out --format png
    python -m train.translate --weights checkpoints/NAME --codes 4 --input photos --output out    where generators take codes
    python -m train.translate --weights checkpoints/NAME --serve        a page to drop pictures on, on this machine only

Every picture is translated at its own size (docs/practice.md says how), and keeps its name, sub-folder, format, alpha
channel, colour profile and its 16 bits. Inputs are never written to. A file that cannot be read is named
at the end and does not stop the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from kernels.device import get_device
from train.config.parser import Parser
from train.config.settings import Config
from train.errors import UserError, shown
from train.files.runs import config_beside, run_or_file
from train.inference.pictures import translate_images
from train.inference.server import serve
from train.models.registry import OWN, elsewhere, include
from train.ranks.launcher import join
from train.run.exit_code import exit_code, say
from train.weights.generators import GENERATOR

__all__ = ["main", "translate_images"]


@exit_code(
    "make room, check that you may read and write there, or choose another --output",
    "stopped; what was written is whole. Go on with --existing skip",
)
def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, 1 if some pictures failed, 2 for a user's error."""
    ranks = join()
    given = parse(arguments)
    if ranks.size > 1 and given.serve is not None:
        raise UserError("--serve is for one process: leave out the launcher")
    if given.system:
        include(given.system)
    if ranks.size > 1 and given.device != "cpu" and get_device(given.device).name == "cuda":
        ranks.take_gpu()
    if config_beside(given.weights).get("direction") == "BtoA":
        say("note: this run was trained with --direction BtoA: its AtoB, the default, takes pictures of folder B")
    if given.serve is not None:
        more = {"upsample": given.upsample, "network": given.network}
        return serve(given.weights, given.direction, given.device, given.serve, given.max_side or 512, **more)
    outcome = translate_images(
        given.weights, given.input, given.output, given.direction, given.format, given.existing, given.max_side,
        given.device, progress=ranks.leads, codes=given.codes, upsample=given.upsample, network=given.network,
        white_level=given.white_level, half=given.half,
        ranks=ranks,
    )  # fmt: skip
    if not ranks.leads:
        return 1 if outcome.failed else 0
    for note in outcome.notes:
        print(f"note: {note}")
    skipped = f", {len(outcome.skipped)} were there" if outcome.skipped else ""
    print(f"{len(outcome.written)} translated into {given.output}{skipped}")
    if outcome.halves:
        source, half = next(iter(outcome.halves.items()))
        print(
            f"{len(outcome.halves)} inputs, such as {shown(source)}, are twice as wide as what this run was trained on; if they "
            f"show A and B side by side: --half {half} translates that half alone"
        )
    if outcome.dim:
        source, why = next(iter(outcome.dim.items()))
        print(f"{len(outcome.dim)} inputs have 16 bits, and in {shown(source)} {why}")
    if outcome.shallower:
        print(
            f"{len(outcome.shallower)} of them have 8 bits, their inputs 16: PNG and TIFF have 16 in gray, and in colour with "
            'pip install -e ".[deep]"; --format npy keeps them always'
        )
    if outcome.failed:
        print(f"{len(outcome.failed)} could not be translated:", file=sys.stderr)
        for why in outcome.failed.values():
            print(f"  {why}", file=sys.stderr)
    return 1 if outcome.failed else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line. UserError for what does not go together."""
    parser = Parser("train.translate", elsewhere=elsewhere, description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add(
        "--weights", required=True, help="a run's folder (checkpoints/NAME) or name, a checkpoint, .pth or .safetensors"
    )
    add(
        "--input",
        nargs="+",
        metavar="PATH",
        help="pictures: files, folders (with all sub-folders) or patterns in quotes",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for the translations; for a single input, a file's name will do",
    )
    add("--system", default="", metavar="MODULE", help=OWN)
    add("--direction", choices=("AtoB", "BtoA"), default="", help="which generator (default: AtoB, or the only one)")
    for option, described in GENERATOR.items():
        add(option, **described)
    add("--codes", type=int, default=1, metavar="N", help="for a run whose generator takes codes: that many translations of each picture, called NAME_1, NAME_2, … (default: 1)")  # fmt: skip
    add("--format", default="", metavar="EXT", help="format of the outputs, such as png (default: each input's own)")
    add("--existing", choices=("refuse", "skip", "replace"), default="refuse", help="what to do about outputs that exist already (default: refuse)")  # fmt: skip
    add("--half", choices=("left", "right"), default="", help="translate that half of each picture alone, where A and B stand side by side (default: all of it)")  # fmt: skip
    add("--white_level", type=int, default=0, metavar="VALUE", help="value that is white in inputs of 16 bits, such as 4095 for 12 bits (default: as the run was trained, else 65535)")  # fmt: skip
    add("--max_side", type=int, default=0, metavar="PIXELS", help="shrink larger pictures first (default: 0, never; 512 with --serve)")  # fmt: skip
    add(
        "--device",
        choices=("auto", "cpu", "cuda", "interpret"),
        default="auto",
        help="where to compute (default: auto)",
    )
    add("--serve", type=int, nargs="?", const=8000, metavar="PORT", help="instead of --input and --output: a page at http://localhost:PORT for trying pictures (default port: 8000)")  # fmt: skip
    given = parser.parse_args(arguments)
    given.weights = run_or_file(given.weights, Path(Config.checkpoints_dir))
    for name, least in (("max_side", 0), ("codes", 1), ("white_level", 0)):
        if getattr(given, name) < least:
            raise UserError(f"--{name} is {getattr(given, name)}; wanted at least {least}")
    for name in ("input", "output") if given.serve is None else ():
        if not getattr(given, name):
            raise UserError(f"--{name} is missing: which pictures, and where to? (--serve needs neither)")
    return given


if __name__ == "__main__":
    sys.exit(main())
