"""Weights from one format to another: ours, PyTorch's (as the reference implementation has them), safetensors and ONNX.

    python -m train.convert SOURCE                       what it holds
    python -m train.convert checkpoints/NAME out/        the files of the reference implementation: out/latest_net_G_A.pth …
    python -m train.convert checkpoints/NAME g.onnx      one generator (--network picks another)
    python -m train.convert checkpoints/NAME g.onnx --size 512x256
    python -m train.convert latest_net_G.pth g.safetensors
    python -m train.convert FOLDER --run NAME            such files as a run, to be trained on

The reference implementation is junyanz/pytorch-CycleGAN-and-pix2pix.

Which network a file holds follows from its keys and shapes. PyTorch is not needed. Everything written is read back and compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from train.config import sides
from train.config.options import pixels
from train.config.parser import Parser
from train.config.settings import Config
from train.errors import UserError
from train.files.runs import run_or_file
from train.models.registry import elsewhere
from train.run.exit_code import exit_code
from train.weights.as_run import make_run
from train.weights.convert import TARGETS, convert
from train.weights.formats import FORMATS, Weights, load
from train.weights.generators import GENERATOR, chosen


@exit_code("make room, check that you may read and write there, or choose another target")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    given, rest = parse(arguments)
    source = run_or_file(given.source, Path(Config.checkpoints_dir))
    found = load(source, given.upsample)
    if given.network:
        one = chosen(found, given.network, given.source)
        found = {one.name: one}
    if given.run:
        make_run(found, given.run, rest, source)
    elif given.target:
        convert(found, given.target, given.force, given.size and sides(given.size)[::-1])
    else:
        print("\n".join(line for w in found.values() for line in listed(w)))
    return 0 if any(w.kind for w in found.values()) else 2


def listed(w: Weights) -> list[str]:
    """What is known of one network: a line, and one for each thing that its weights do not tell."""
    try:
        architecture = w.architecture()
    except UserError as error:
        return [f"{w.name:13} {error}"]
    size = sum(v.size for v in w.state.values()) / 1e6
    return [f"{w.name:13} {architecture}, {size:.2f} M weights", *(f"{'':13} {note}" for note in architecture.notes)]


def parse(arguments: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The command line, and what is left of it for --run. UserError for what does not go together."""
    parser = Parser(
        "train.convert",
        elsewhere=elsewhere,
        description="Convert weights between formats; with SOURCE alone, say what it holds.",
        epilog="With --run, every option of python -m train.cyclegan may follow (say --crop_size 128): the run keeps it.",
    )
    add = parser.add_argument
    add(
        "source",
        type=Path,
        help="a run's folder or name, a folder of the reference implementation's .pth, or a file " + " ".join(FORMATS),
    )
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_run = any(word.split("=")[0] == "--run" for word in words)  # then what is left is for its settings
    parser.set_defaults(target=None)
    if (
        not as_run
    ):  # a place for a word more, which newer versions of Python fill with the value of an option that is left
        add(
            "target",
            type=Path,
            nargs="?",
            help=f"a file ({' '.join(TARGETS)}), or a folder for the reference implementation's files",
        )
    add(
        "--network",
        help="the one network to write, such as gen_ba (default: all where the format holds several, else the generator A to B)",
    )
    add("--run", metavar="NAME", help="make a run of this name instead of a file, which --continue_train trains on")
    add("--upsample", **GENERATOR["--upsample"])
    add("--size", type=pixels, metavar="WxH", help="of an .onnx: the only size that it takes, WIDTHxHEIGHT or a side, mirrored and cut inside it as train.translate does; for runtimes that want numbers (default: any)")  # fmt: skip
    add("--force", action="store_true", help="replace files that exist (default: off)")
    given, rest = parser.parse_known_args(words) if as_run else (parser.parse_args(words), [])
    if given.size and not given.target:
        raise UserError(f"--size {given.size} is of an .onnx; name one as the target")
    if rest and not rest[0].startswith("-"):
        raise UserError(f"give a target ({rest[0]}) or --run {given.run}, not both")
    return given, rest


if __name__ == "__main__":
    sys.exit(main())
