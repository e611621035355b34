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
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.config.options import Parser, add_option
from train.config.settings import Config
from train.data.builtin.streets import CLASSES
from train.data.palette import Palette, read_palette
from train.errors import UserError
from train.evaluation.evaluation import Evaluation, Pictures, title, translate_all
from train.evaluation.inception import fid_kid, library
from train.evaluation.label_scores import label_scores
from train.evaluation.metrics import Scores, format_scores, present, ssim
from train.evaluation.subject import from_run, from_weights
from train.files.atomic import write_atomically
from train.models.model import Rows
from train.report.samples import sample_grid, save_png

DATA = ("dataroot", "direction", "preprocess", "load_size", "crop_size", "device")  # settings that may be given anew
WEAK = 0.75  # a classifier that is right on fewer held-out images has little to say


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    try:
        evaluate(parse(arguments))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}; make room, or choose another --output", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; nothing was written", file=sys.stderr)
        return 130
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; settings of the data that were not typed are absent. UserError for a wrong option or value."""
    first, _, rest = (__doc__ or "").partition("\n\n")
    parser = Parser(
        "python -m train.evaluate", usage="%(prog)s --name RUN | --weights FILE --dataroot DIR  [options]",
        description=first, epilog=rest, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument_group("what to evaluate").add_argument
    add("--name", default="", help="a run: its folder under --checkpoints_dir")
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
    add("--weights", type=Path, help="instead of a run: a file or folder with one generator, A to B, or both")
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
    if bool(options.name) == bool(options.weights):
        raise UserError("give either --name RUN or --weights FILE --dataroot DIR (--help lists all options)")
    return options


def evaluate(options: argparse.Namespace) -> None:
    """All of the command. UserError for what the user can mend."""
    start = time.perf_counter()
    if options.fid:
        library()  # before anything is computed
    palette = read_palette(options.palette) if options.palette else None
    changes = {name: getattr(options, name) for name in DATA if hasattr(options, name)}
    subject = (
        from_weights(options.weights, changes) if options.weights
        else from_run(options.name, options.checkpoints_dir, options.epoch, changes)
    )  # fmt: skip
    model, directions = subject.model, subject.model.directions
    streets = not subject.config.dataroot and subject.config.builtin == "streets"
    palette = palette or (CLASSES if streets else None)
    maps = options.label_domain or ("A" if streets and subject.config.direction == "AtoB" else "B")
    segmenter = None
    if options.segmenter:
        segmenter = from_run(options.segmenter, options.checkpoints_dir, "latest", {}).model
    evaluation = Evaluation(subject.config, options.num_test, subject.cache)
    check(evaluation, palette, maps, options, directions)
    introduce(subject.name, evaluation)
    tables, classes, fakes = {}, {}, {}
    for direction in directions:
        made = fakes[direction] = evaluation.translations(model, direction)
        tables[direction] = evaluation.scores(direction, made, not options.no_distance)
        if palette and direction[-1] == maps:
            classes = score_labels(palette, evaluation, direction, made, tables[direction])
        elif palette and segmenter:
            score_photos(palette, segmenter, evaluation, direction, made, tables[direction])
        if options.fid:
            score_fid(evaluation, direction, made, tables[direction])
    sheet, shown = contact_sheet(evaluation, model, fakes, options.rows, subject.name)
    result = {
        "model": subject.name, **subject.about, "dataroot": subject.config.dataroot,
        "images": {domain: len(x) for domain, x in evaluation.pictures.items()},
        "paired": evaluation.truth, "held_out": evaluation.held_out,
        "scores": {title(direction): table for direction, table in tables.items()},
        "classes": classes, "contact_sheet": shown,
    }  # fmt: skip
    if not options.no_distance and evaluation.held_out:
        result["classifier_accuracy"] = evaluation.distance.accuracy(*evaluation.pictures.values())
    if options.fid:
        result["fid_library"] = library()[0]
    show(tables, classes, result)
    text = json.dumps(finite(result), indent=2, ensure_ascii=False, allow_nan=False).encode()
    output = options.output or subject.output
    write_atomically(output / "evaluation.json", lambda file: file.write(text), size=len(text))
    save_png(output / "contact_sheet.png", sheet)
    print(f"\nscores   {output / 'evaluation.json'}\npictures {output / 'contact_sheet.png'}")
    print(f"took     {time.perf_counter() - start:.0f} s")


def check(
    evaluation: Evaluation,
    palette: Palette | None,
    maps: str,
    options: argparse.Namespace,
    directions: Sequence[str],
) -> None:
    """UserError for what was asked for and cannot be."""
    if palette and not evaluation.truth:
        raise UserError("--palette needs the true label map of each test image, of the same name in testA and testB")
    if options.segmenter and not palette:
        raise UserError("--segmenter reads classes, so it needs --palette too")
    if options.palette and not options.segmenter and not any(direction[-1] == maps for direction in directions):
        raise UserError(f"--label_domain {maps}: there is no generator that makes pictures of it")
    if options.no_distance and not (evaluation.truth or options.fid):
        raise UserError("nothing to score: the true partners of the test images are not known; leave --no_distance out")


def introduce(name: str, evaluation: Evaluation) -> None:
    """What is about to be scored, on what."""
    kind = "test images"
    if evaluation.truth:
        kind = "test images with their true partners"
    elif not evaluation.held_out:
        kind = "training images, as there are no testA and testB: these flatter"
    data = evaluation.config.dataroot or f"built-in {evaluation.config.builtin}"
    count = " and ".join(f"{len(x)} of {domain}" for domain, x in evaluation.pictures.items())
    print(f"model    {name}\ndata     {data}: {count}, {kind}", flush=True)


def score_labels(
    palette: Palette, evaluation: Evaluation, direction: str, made: Pictures, table: Scores
) -> dict[str, Any]:
    """Add the label scores to the rows of `table`; the scores of each class, by who and class."""
    truths = evaluation.pictures[direction[-1]]
    answers = {"model": made, "untouched": evaluation.pictures[direction[0]]}
    if "mean" in table:
        answers["mean"] = [np.mean(np.stack(truths), axis=0)] * len(truths)
    classes: dict[str, Any] = {}
    for who, pictures in answers.items():
        if who in table:
            scores = label_scores(palette, zip(pictures, truths, strict=True))
            classes[who] = scores.pop("classes")
            table[who] |= scores
    return classes


def score_photos(
    palette: Palette, segmenter: Any, evaluation: Evaluation, direction: str, made: Pictures, table: Scores
) -> None:
    """Add the paper's FCN scores: the classes that `segmenter` reads in a photo, against the map it was made from.

    The row "real" is what it reads in the true photos: it errs too, and nobody can do much better than that.
    """
    for who, pictures in {"model": made, "real": evaluation.pictures[direction[-1]]}.items():
        read = translate_all(segmenter, pictures, "AtoB")
        scores = label_scores(palette, zip(read, evaluation.pictures[direction[0]], strict=True))
        table.setdefault(who, {}).update({name: scores[name] for name in scores if name != "classes"})


def score_fid(evaluation: Evaluation, direction: str, made: Pictures, table: Scores) -> None:
    """Add FID and KID to the rows of `table`, all against the target's training images."""
    rows = {"model": made, "untouched": evaluation.pictures[direction[0]]}
    if evaluation.held_out:
        rows["real"] = evaluation.pictures[direction[-1]]
    for who, pictures in rows.items():
        cuda = evaluation.config.device == "cuda"
        table.setdefault(who, {}).update(fid_kid(pictures, evaluation.reference[direction[-1]], cuda))


def contact_sheet(
    evaluation: Evaluation, model: Any, fakes: Mapping[str, Pictures], rows: int, name: str
) -> tuple[Any, dict[str, list[str]]]:
    """A sheet of `rows` test images of each direction and the names of these.

    With pairs they are spread from the best SSIM to the worst, so that nobody's choice flatters; else over the names.
    """
    grid: Rows = []
    shown: dict[str, list[str]] = {}
    for direction, made in fakes.items():
        start, end = direction[0], direction[-1]
        order = list(range(len(made)))
        if evaluation.truth and min(made[0].shape[:2]) >= 11:
            order.sort(key=lambda i: -ssim(made[i], evaluation.pictures[end][i]))
        count = min(rows, len(order))
        chosen = [order[i * (len(order) - 1) // max(1, count - 1)] for i in range(count)]
        back = f"{end}to{start}"
        returned = translate_all(model, [made[i] for i in chosen], back) if back in model.directions else None
        for place, i in enumerate(chosen):
            row = {f"real {start}": evaluation.pictures[start][i], f"fake {end}": made[i]}
            if evaluation.truth:
                row[f"true {end}"] = evaluation.pictures[end][i]
            if returned:
                row[f"reconstructed {start}"] = returned[place]
            grid.append(row)
        shown[title(direction)] = [evaluation.names[start][i] for i in chosen]
    note = "from the best SSIM to the worst" if evaluation.truth else "test images spread over the folder"
    return sample_grid(grid, f"{name}: {note}"), shown


def show(tables: Mapping[str, Scores], classes: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """The tables, and what their words mean."""
    for direction, table in tables.items():
        print(f"\n{format_scores(table, title(direction))}")
    if "model" in classes:
        print(f"\n{'class':24}{'share':>8}{'accuracy':>10}{'IoU':>8}")
        for name, row in classes["model"].items():
            cells = ("-" if row[key] is None else f"{row[key]:.0%}" for key in ("share", "accuracy", "iou"))
            print("{:24}{:>8}{:>10}{:>8}".format(name, *cells))
    metrics = {metric for table in tables.values() for metric in present(table)}
    print("\nuntouched input: the picture as it is. mean image: the same average picture for everything.")
    if "distance" in metrics:
        accuracy = result.get("classifier_accuracy")
        told = f", which puts {accuracy:.0%} of the test images in their domain" if accuracy is not None else ""
        print(
            f"domain: distance from the target's training images as a small classifier sees them{told}; this is not FID."
        )
        if accuracy is not None and accuracy < WEAK:
            print("        It tells the two domains apart so poorly that this distance says little.")
    if "fid" in metrics:
        print(f"FID, KID: by {result['fid_library']}, from the target's training images; few pictures make them large.")


def finite(value: Any) -> Any:
    """A tree in which numbers that JSON does not know (the PSNR of equal pictures, a share of nothing) are null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(main())
