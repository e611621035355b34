"""What below a folder is a picture, and what is left out and why: the one place that decides it, for every command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

from train.data import heif
from train.errors import shown
from train.files.walk import files_below

EXTENSIONS = frozenset({
    ".bmp", ".jfif", ".jpe", ".jpeg", ".jpg", ".npy", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})  # fmt: skip
"""Of what is read and written."""
OF_SYSTEMS = frozenset({"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN"})
"""Folders of copies and previews that a Mac's zip, a Synology's index, another network disk's bin and Windows leave behind. Those
of Jupyter (.ipynb_checkpoints), GNOME (.thumbnails) and others are hidden."""


class Listing(NamedTuple):
    """Pictures, paths below their folder with forward slashes, sorted; how many other files there are of what kind; links."""

    pictures: list[str]
    left_out: Counter[str]
    links: str

    def told(self) -> str:
        """What is left out, such as "2 in .ipynb_checkpoints, 30 x .gif"; "" if nothing is."""
        kinds = [f"{n} {shown(kind)}" for kind, n in self.left_out.most_common()]
        return ", ".join(kinds[:4] + [f"{len(kinds) - 4} kinds more"] * (len(kinds) > 4))

    def remarks(self, folder: Path) -> list[str]:
        """What to say of a folder, in lines: of links that lead round, and of what is left out."""
        left_out = f"left out of {shown(folder)}: {self.told()}" if self.left_out else ""
        return [line for line in (self.links, left_out) if line]


def pictures_below(folder: Path) -> Listing:
    """The pictures below a folder."""
    found = files_below(folder)
    return sorted_out((file.relative_to(folder) for file in found.files), found.told())


def sorted_out(files: Iterable[PurePath], links: str = "", named: bool = False) -> Listing:
    """What of files, given below a folder, is a picture: by its ending, and in no folder that is left out.

    named  the files were asked for by name or pattern: hidden or not, they are meant, and only the ending counts
    """
    pictures: list[str] = []
    left_out: Counter[str] = Counter()
    for file in files:
        if why := _left_out(PurePath(file.name.lstrip(".")) if named else file):
            left_out[why] += 1
        else:
            pictures.append(file.as_posix())
    return Listing(sorted(pictures), left_out, links)


def is_passed_by(name: str) -> bool:
    """Whether a file or folder of this name is left out whatever it holds: it is hidden, or a system's."""
    return name.startswith(".") or name in OF_SYSTEMS


def is_picture(name: str) -> bool:
    """Whether a file's ending is that of a picture which can be read here."""
    suffix = PurePath(name).suffix.lower()
    return suffix in EXTENSIONS or (suffix in heif.EXTENSIONS and heif.available())


def _left_out(file: PurePath) -> str:
    """Why a file is no picture, in words that are counted; "" if it is one."""
    for part in file.parts[:-1]:
        if is_passed_by(part):
            return f"in {part}"
    suffix = file.suffix.lower()
    if is_passed_by(file.name):
        return "hidden"
    if suffix in heif.EXTENSIONS and not heif.available():
        return f"x {suffix} ({heif.INSTALL} reads them)"
    return "" if is_picture(file.name) else f"x {suffix}" if suffix else "without ending"
