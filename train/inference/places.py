"""Which pictures are meant, and where the translation of each goes. Inputs are never written to."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from train.data.images import EXTENSIONS
from train.errors import UserError


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
