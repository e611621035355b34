"""Which pictures are meant, and where the translation of each goes. Inputs are never written to."""

from __future__ import annotations

import fnmatch
import glob
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from train.data import heif
from train.data.listing import EXTENSIONS, is_passed_by, pictures_below, sorted_out
from train.errors import UserError, shown
from train.files.folder_names import check_folder
from train.files.walk import files_below
from train.ranks.launcher import group


def find(inputs: Iterable[str | Path], output: Path) -> dict[Path, Path]:
    """The pictures that are meant, each with its path below the folder that all inputs share. UserError if none."""
    found: dict[Path, None] = {}
    roots: list[Path] = []
    for item in inputs:
        path, text = Path(item), str(item)
        if path.is_dir():
            root, listing = path, pictures_below(path)
        elif path.is_file():
            root, listing = path.parent, sorted_out([Path(path.name)], named=True)
        elif glob.has_magic(text):
            root = Path(*path.parts[: next(i for i, part in enumerate(path.parts) if glob.has_magic(part))])
            files, links = matches(path, root)
            listing = sorted_out([file.relative_to(root) for file in files], links, named=True)
        else:
            what = (
                "is neither a file nor a folder"
                if path.exists()
                else "there is no such file, folder or pattern with a match"
            )
            raise UserError(f"--input {shown(item)}: {what}")
        if not listing.pictures:
            known = " ".join(sorted(EXTENSIONS))
            seen = f"; seen: {listing.told()}" if listing.left_out else ""
            raise UserError(f"--input {shown(item)}: holds no pictures ({known}){seen}")
        for remark in listing.remarks(path) if group().leads else ():
            print(remark, file=sys.stderr)
        roots.append(root)
        found |= dict.fromkeys(root / picture for picture in listing.pictures)
    common, inside = Path(os.path.commonpath([os.path.abspath(root) for root in roots])), Path(os.path.abspath(output))
    places = {file: Path(os.path.abspath(file)) for file in found}
    if common in inside.parents:  # earlier outputs are no inputs
        places = {file: place for file, place in places.items() if inside not in place.parents}
    if not places:
        raise UserError(f"--input: all pictures lie in --output {shown(output)}; choose another folder")
    return {file: place.relative_to(common) for file, place in places.items()}


def matches(pattern: Path, fixed: Path) -> tuple[list[Path], str]:
    """The files that a pattern fits, of which `fixed` is the start without wildcards; and what to say of links, if anything."""
    if "**" not in pattern.parts:
        return [Path(match) for match in glob.glob(str(pattern)) if Path(match).is_file()], ""
    below, wanted = files_below(fixed), pattern.parts[len(fixed.parts) :]
    return [f for f in below.files if fits(f.relative_to(fixed).parts, wanted) and f.is_file()], below.told()


def fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path fits a pattern in which ** stands for any folders; hidden ones must be named, as the shell has it."""
    if not pattern or not parts:
        return not parts and all(wanted == "**" for wanted in pattern)
    hidden = is_passed_by(parts[0]) and pattern[0] != parts[0] and not pattern[0].startswith(".")
    if pattern[0] == "**":
        return fits(parts, pattern[1:]) or (not hidden and fits(parts[1:], pattern))
    return not hidden and fnmatch.fnmatch(parts[0], pattern[0]) and fits(parts[1:], pattern[1:])


def plan(files: dict[Path, Path], output: Path, format: str, existing: str, codes: int = 1) -> dict[Path, list[Path]]:
    """Where each picture goes, with each code. UserError if two would meet, an input would be written to, or a file is there."""
    suffix = f".{format.lower().lstrip('.')}" if format else ""
    if suffix and suffix not in EXTENSIONS:
        raise UserError(f"--format {format}: unknown; wanted one of {' '.join(sorted(e[1:] for e in EXTENSIONS))}")
    if output.suffix.lower() in EXTENSIONS and not output.is_dir():
        if len(files) > 1:
            raise UserError(f"--output {shown(output)} is one file, but there are {len(files)} inputs; name a folder")
        jobs = {next(iter(files)): output}
    else:
        check_folder(output, "--output", f"a folder, or of one input a file: {' '.join(sorted(EXTENSIONS))}")
        endings = {
            file: suffix or (".png" if file.suffix.lower() in heif.EXTENSIONS else file.suffix) for file in files
        }
        jobs = {file: output / place.with_suffix(endings[file]) for file, place in files.items()}
    if output.is_file() and output not in jobs.values():
        raise UserError(f"--output {shown(output)} is a file, and not a picture; name a folder")
    numbers = [f"_{i + 1}" for i in range(codes)] if codes > 1 else [""]
    plans = {file: [target.with_stem(target.stem + i) for i in numbers] for file, target in jobs.items()}
    sources = {file.resolve() for file in files}
    taken: dict[Path, Path] = {}
    for file, target in ((file, target) for file, targets in plans.items() for target in targets):
        if target.resolve() in sources:
            raise UserError(f"--output: {shown(target)} would overwrite an input; choose another folder")
        if target in taken:
            raise UserError(
                f"{shown(taken[target])} and {shown(file)} would both become {shown(target)}; leave out --format, or rename one"
            )
        taken[target] = file
    there = [target for target in taken if target.exists()]
    if there and existing == "refuse":
        raise UserError(
            f"{len(there)} of {len(taken)} outputs exist already, such as {there[0]}; add --existing skip (to go on) or "
            "--existing replace"
        )
    return plans
