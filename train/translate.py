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
import glob
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from train.data.images import EXTENSIONS, Picture, keeps_16_bits, load_picture, resize, save_picture
from train.errors import UserError
from train.inference.translator import Translator, open_translator


@dataclass
class Outcome:
    """What became of the inputs."""

    written: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)  # outputs that were there
    shallower: list[Path] = field(default_factory=list)  # of the written: 8 bits for an input's 16
    failed: dict[Path, str] = field(default_factory=dict)  # input -> why


def translate_images(
    weights: str | Path,
    input: str | Path | Sequence[str | Path],
    output: str | Path,
    direction: str = "",
    format: str = "",
    existing: str = "refuse",
    max_side: int = 0,
    device: str = "auto",
    progress: bool = False,
    codes: int = 1,
) -> Outcome:
    """Translate pictures and write them; the options are those of the command.

    Raises UserError before anything is written if weights, inputs or outputs do not fit together; a single file that
    cannot be read or written is noted in the outcome.
    """
    inputs = [input] if isinstance(input, str | Path) else list(input)
    jobs, outcome = plan(find(inputs, Path(output)), Path(output), format, existing, codes), Outcome()
    translator = open_translator(weights, direction, device)
    if codes > 1 and not translator.coded:
        raise UserError(f"--codes {codes}: this generator takes no code, and has one translation of a picture")
    bar = tqdm(jobs.items(), unit="picture", disable=not progress)
    for source, targets in bar:
        bar.set_postfix_str(source.name, refresh=True)
        there = [target for target in targets if existing == "skip" and target.exists()]
        outcome.skipped += there
        if len(there) == len(targets):
            continue
        try:
            original = load_picture(source, translator.in_channels)
            for code, target in enumerate(targets):
                if target in there:
                    continue
                _, picture = translated(translator, original, max_side, code)
                save_picture(target, picture)
                outcome.written.append(target)
                if picture.bits == 16 and not keeps_16_bits(target, picture.pixels.shape[2]):
                    outcome.shallower.append(target)
        except UserError as error:
            outcome.failed[source] = str(error)
        except MemoryError:
            outcome.failed[source] = f"{source}: out of memory; --max_side 2000 shrinks it to at most that many pixels"
    return outcome


def translated(
    translator: Translator, picture: Picture, max_side: int = 0, code: int = 0
) -> tuple[np.ndarray, Picture]:
    """What the generator saw of a picture, and its translation with what belongs to it.

    Both are shrunk if a side is larger than `max_side` (0: never).
    """
    x, alpha = picture.pixels, picture.alpha
    height, width = x.shape[:2]
    if max_side and max(height, width) > max_side:
        scale = max_side / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        x = resize(x, *size)
        alpha = None if alpha is None else np.asarray(Image.fromarray(alpha).resize(size))
    y = translator(x, code)
    same_kind = y.shape[2] == x.shape[2]  # a colour profile speaks of gray or of RGB, not of both
    return x, Picture(y, picture.bits, alpha, picture.icc if same_kind else None)


# -- which files


def find(inputs: Iterable[str | Path], output: Path) -> dict[Path, Path]:
    """The pictures that are meant, each with its path below the folder that all inputs share. UserError if none."""
    found: dict[Path, None] = {}
    roots: list[Path] = []
    for item in inputs:
        path, text = Path(item), str(item)
        if path.is_dir():
            roots.append(path)
            files = [Path(where) / name for where, _, names in os.walk(path, followlinks=True) for name in names]
        elif path.is_file():
            roots.append(path.parent)
            files = [path]
        elif glob.has_magic(text):
            fixed = Path(*path.parts[: next(i for i, part in enumerate(path.parts) if glob.has_magic(part))])
            roots.append(fixed)
            files = [Path(match) for match in glob.glob(text, recursive=True) if Path(match).is_file()]
        else:
            raise UserError(f"--input {item}: there is no such file, folder or pattern with a match")
        unknown = Counter(f.suffix.lower() or "none" for f in files if f.suffix.lower() not in EXTENSIONS)
        pictures = [f for f in files if f.suffix.lower() in EXTENSIONS and not f.name.startswith(".")]
        known = " ".join(sorted(EXTENSIONS))
        if not pictures:
            seen = f"; seen: {', '.join(f'{n} x {kind}' for kind, n in unknown.most_common(4))}" if unknown else ""
            raise UserError(f"--input {item}: holds no pictures ({known}){seen}")
        if unknown:
            kinds = ", ".join(f"{n} x {kind}" for kind, n in unknown.most_common(4))
            print(f"left out under {item}, because their kind is not known: {kinds}", file=sys.stderr)
        found |= dict.fromkeys(sorted(pictures))
    common, inside = Path(os.path.commonpath([os.path.abspath(root) for root in roots])), Path(os.path.abspath(output))
    places = {file: Path(os.path.abspath(file)) for file in found}
    if common in inside.parents:  # earlier outputs are no inputs
        places = {file: place for file, place in places.items() if inside not in place.parents}
    if not places:
        raise UserError(f"--input: all pictures lie in --output {output}; choose another folder")
    return {file: place.relative_to(common) for file, place in places.items()}


def plan(files: dict[Path, Path], output: Path, format: str, existing: str, codes: int = 1) -> dict[Path, list[Path]]:
    """Where each picture goes, with each code. UserError if two would meet, an input would be written to, or a file is there."""
    suffix = f".{format.lower().lstrip('.')}" if format else ""
    if suffix and suffix not in EXTENSIONS:
        raise UserError(f"--format {format}: unknown; wanted one of {' '.join(sorted(e[1:] for e in EXTENSIONS))}")
    if output.suffix.lower() in EXTENSIONS and not output.is_dir():
        if len(files) > 1:
            raise UserError(f"--output {output} is one file, but there are {len(files)} inputs; name a folder")
        jobs = {next(iter(files)): output}
    else:
        jobs = {file: output / (place.with_suffix(suffix) if suffix else place) for file, place in files.items()}
    if output.is_file() and output not in jobs.values():
        raise UserError(f"--output {output} is a file, and not a picture; name a folder")
    numbers = [f"_{i + 1}" for i in range(codes)] if codes > 1 else [""]
    plans = {file: [target.with_stem(target.stem + i) for i in numbers] for file, target in jobs.items()}
    sources = {file.resolve() for file in files}
    taken: dict[Path, Path] = {}
    for file, target in ((file, target) for file, targets in plans.items() for target in targets):
        if target.resolve() in sources:
            raise UserError(f"--output: {target} would overwrite an input; choose another folder")
        if target in taken:
            raise UserError(f"{taken[target]} and {file} would both become {target}; leave out --format, or rename one")
        taken[target] = file
    there = [target for target in taken if target.exists()]
    if there and existing == "refuse":
        raise UserError(
            f"{len(there)} of {len(taken)} outputs exist already, such as {there[0]}; add --existing skip (to go on) or "
            "--existing replace"
        )
    return plans


# -- the command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, 1 if some pictures failed, 2 for a user's error."""
    parser = argparse.ArgumentParser(
        prog="python -m train.translate", description=(__doc__ or "").split("\n")[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("--weights", required=True, help="a run's folder (checkpoints/NAME), a checkpoint, .pth or .safetensors")
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
    add("--direction", choices=("AtoB", "BtoA"), default="", help="which generator (default: AtoB, or the only one)")
    add("--codes", type=int, default=1, metavar="N", help="for a run whose generator takes codes: that many translations of each picture, called NAME_1, NAME_2, … (default: 1)")  # fmt: skip
    add("--format", default="", metavar="EXT", help="format of the outputs, such as png (default: each input's own)")
    add("--existing", choices=("refuse", "skip", "replace"), default="refuse", help="what to do about outputs that exist already (default: refuse)")  # fmt: skip
    add("--max_side", type=int, default=0, metavar="PIXELS", help="shrink larger pictures first (default: 0, never; 512 with --serve)")  # fmt: skip
    add(
        "--device",
        choices=("auto", "cpu", "cuda", "interpret"),
        default="auto",
        help="where to compute (default: auto)",
    )
    add("--serve", type=int, nargs="?", const=8000, metavar="PORT", help="instead of --input and --output: a page at http://localhost:PORT for trying pictures (default port: 8000)")  # fmt: skip
    try:
        given = parser.parse_args(arguments)
        for name, least in (("max_side", 0), ("codes", 1)):
            if getattr(given, name) < least:
                raise UserError(f"--{name} is {getattr(given, name)}; wanted at least {least}")
        if given.serve is not None:
            from train.inference.server import serve

            return serve(given.weights, given.direction, given.device, given.serve, given.max_side or 512)
        for name in ("input", "output"):
            if not getattr(given, name):
                raise UserError(f"--{name} is missing: which pictures, and where to? (--serve needs neither)")
        outcome = translate_images(
            given.weights, given.input, given.output, given.direction, given.format, given.existing, given.max_side,
            given.device, progress=True, codes=given.codes,
        )  # fmt: skip
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what was written is whole. Go on with --existing skip", file=sys.stderr)
        return 128 + signal.SIGINT
    skipped = f", {len(outcome.skipped)} were there" if outcome.skipped else ""
    print(f"{len(outcome.written)} translated into {given.output}{skipped}")
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


if __name__ == "__main__":
    sys.exit(main())
