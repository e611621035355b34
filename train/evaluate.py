"""Says how good a model is: scores beside baselines, as a table, as JSON, and with a contact sheet to look at.

    python -m train.evaluate --name RUN                        a run of yours, on the test images of its data
    python -m train.evaluate --weights FILE --dataroot DIR     any weights that this program reads

Where testA and testB hold the same names, pictures are compared with their true partners: L1, SSIM, PSNR, and retrieval,
the share of translations whose true partner is the nearest of all test images (train/evaluation/metrics.py). The domain distance
(train/evaluation/domain_distance.py, not FID) needs no pairs; real held-out pictures show how near one can come, and the untouched
input how far doing nothing leaves one. --palette scores label maps class by class (train/evaluation/label_scores.py); --segmenter
scores the photos made from such maps, by what a network that knows real photos reads in them. --fid adds FID and KID where
torch-fidelity or clean-fid is installed (train/evaluation/inception.py).

Writes evaluation.json and contact_sheet.png.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kernels.device import get_device
from train.config.options import add_option
from train.config.parser import Parser
from train.config.settings import Config
from train.data.palette import read_palette
from train.errors import UserError
from train.evaluation.evaluation import Evaluation
from train.evaluation.inception import check_fid, inception
from train.evaluation.scoring import Asked, score, score_fid
from train.evaluation.subject import from_run, from_weights
from train.files.folder_names import check_folder
from train.files.runs import run_or_file
from train.models.registry import OWN, elsewhere, include
from train.ranks.launcher import join
from train.report.evaluation import contact_sheet, introduction, results, words, write_evaluation
from train.run.exit_code import exit_code, say
from train.weights.generators import GENERATOR

DATA = (
    "dataroot", "direction", "preprocess", "load_size", "crop_size", "white_level", "unpaired_test", "device",
)  # fmt: skip
"""Settings that may be given anew."""


@exit_code("make room, or choose another --output", "stopped; nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    ranks = join()
    start, options = time.perf_counter(), parse(arguments)
    if options.system:
        include(options.system)
    if options.fid_weights:
        options.fid = True
    if options.fid:
        check_fid(options.fid_weights)
    if ranks.size > 1 and get_device(getattr(options, "device", "auto")).name == "cuda":
        ranks.take_gpu()
    palette = read_palette(options.palette) if options.palette else None
    changes = {name: getattr(options, name) for name in DATA if hasattr(options, name)}
    subject = (
        from_weights(run_or_file(options.weights, options.checkpoints_dir), changes, options.upsample, options.network)
        if options.weights
        else from_run(options.name, options.checkpoints_dir, options.epoch, changes)
    )  # fmt: skip
    segmenter = None
    if options.segmenter:
        segmenter = from_run(options.segmenter, options.checkpoints_dir, "latest", {}, "--segmenter").model
    evaluation = Evaluation(subject.config, options.num_test, subject.cache if ranks.leads else None)
    evaluation.ranks = ranks
    asked = Asked(palette, options.label_domain or "", segmenter, not options.no_distance, options.fid)
    asked = asked.on(evaluation, subject.model.directions)
    say(introduction(subject.name, evaluation))
    for note in subject.about.get("notes", ()):
        say(f"note: {note}")
    scored = score(subject.model, evaluation, asked)
    if not ranks.leads:
        return 0  # rank 0 makes the rest
    sheet, shown = contact_sheet(evaluation, subject.model, scored.fakes, options.rows, subject.name)
    failed = None
    if options.fid:
        try:
            with inception(options.fid_weights, subject.config.device == "cuda") as library:
                score_fid(scored, evaluation, library)
        except UserError as error:  # told at the end: what has been found is not lost
            failed = error
    found = results(subject, evaluation, asked, scored, shown)
    print(words(found))  # also if the disk refuses what follows
    print(f"\n{write_evaluation(options.output or subject.output, found, sheet)}")
    print(f"took     {time.perf_counter() - start:.0f} s")
    if failed:
        raise failed
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; settings of the data that were not typed are absent. UserError for a wrong option or value."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = Parser(
        "train.evaluate", elsewhere=elsewhere, usage="%(prog)s --name RUN | --weights FILE --dataroot DIR  [options]",
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument_group("what to evaluate").add_argument
    add("--name", default="", help="a run: its name under --checkpoints_dir, its folder, or a checkpoint in that")
    add(
        "--checkpoints_dir",
        type=Path,
        default=Path(Config.checkpoints_dir),
        help="folder that holds all runs (default: %(default)s)",
    )
    add(
        "--epoch",
        default="latest",
        help="which of the run's states: latest, best, or the number of a kept epoch (default: %(default)s)",
    )
    add("--system", default="", metavar="MODULE", help=OWN)
    add("--weights", type=Path, help="instead of a run: a file or folder with one generator, A to B, or both")
    for option, described in GENERATOR.items():
        add(option, **described)
    data = parser.add_argument_group("data (as a run was trained, unless given anew; defaults are for --weights)")
    for name in DATA:
        add_option(data, Config, name)
    data.add_argument(
        "--num_test", type=int, default=0, help="use at most this many test images of each domain (default: 0, all)"
    )
    add = parser.add_argument_group("scores").add_argument
    add("--palette", type=Path, help="score label maps: a text file with a line `R G B name` for each class")
    add(
        "--label_domain",
        choices=("A", "B"),
        help="the domain that is label maps (default: B; of the built-in streets, whose palette is known, the one that is)",
    )
    add(
        "--segmenter",
        default="",
        help="score photos made from label maps: a run of train.pix2pix that learnt photo to label map from true pairs",
    )
    add(
        "--no_distance",
        action="store_true",
        help="leave out the domain distance, whose classifier takes seconds to train (default: off)",
    )
    add("--fid", action="store_true", help="FID and KID too (default: off)")
    add(
        "--fid_weights",
        type=Path,
        metavar="FILE",
        help="Inception's weights for --fid (default: fetched by the library)",
    )
    add = parser.add_argument_group("output").add_argument
    add(
        "--output",
        type=Path,
        help="folder to write (default: evaluation_EPOCH in the run's folder; for weights results/NAME)",
    )
    add("--rows", type=int, default=8, help="test images of each direction on the contact sheet (default: %(default)s)")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    for name, least in (("num_test", 0), ("rows", 1)):
        if getattr(options, name) < least:
            raise UserError(f"--{name} is {getattr(options, name)}; wanted at least {least}")
    if options.output:
        check_folder(options.output, "--output")
    if bool(options.name) == bool(options.weights):
        raise UserError("give either --name RUN or --weights FILE --dataroot DIR (--help lists all options)")
    if options.name and (options.upsample or options.network):
        raise UserError("--upsample and --network speak of --weights from elsewhere; a run says both itself")
    return options


if __name__ == "__main__":
    sys.exit(main())
