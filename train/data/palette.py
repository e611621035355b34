"""The palette of a label map: which classes there are, and the colour that each is painted in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train.data.pixels import to_uint8
from train.errors import UserError, shown

IGNORED = frozenset({"ignore", "void", "unlabeled"})  # true pixels of a class of this name are not counted


@dataclass(frozen=True)
class Palette:
    """The classes of a label map: their names and colours, uint8 [K,3]. Ignored ones come last and are never given."""

    names: tuple[str, ...]
    colours: np.ndarray

    @property
    def scored(self) -> int:
        """The number of classes that are not ignored."""
        return sum(name not in IGNORED for name in self.names)

    def classes(self, x: np.ndarray, *, given: bool = False) -> np.ndarray:
        """Label maps [...,3] in [-1, 1] as class numbers [...]; nearest in Euclidean distance of the 8-bit colours that
        would be saved, the first of equals. `given`: a translation, which is matched to the scored classes only."""
        if x.shape[-1] != 3:
            raise UserError(f"label maps are told by colour and need 3 channels (RGB), these have {x.shape[-1]}")
        colours = (self.colours[: self.scored] if given else self.colours).astype(np.float64)  # [K,3]
        pixels = to_uint8(x).reshape(-1, 3).astype(np.float64)  # whole numbers: distances are exact
        nearest = ((colours**2).sum(axis=1) - 2 * pixels @ colours.T).argmin(axis=1)  # |pixel|² is the same for all
        return nearest.reshape(x.shape[:-1])


def read_palette(path: str | Path) -> Palette:
    """A palette from a text file: a line `R G B name` for each class, 0 to 255; lines that begin with # are comments.

    Classes named ignore, void or unlabeled are not scored, and several may bear such a name. UserError names the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--palette {shown(path)}: cannot be read ({error}); wanted a text file of lines `R G B name`"
        ) from error
    rows: list[tuple[str, tuple[int, ...]]] = []
    for number, line in enumerate(lines, 1):
        words = line.replace(",", " ").split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 4 or not all(w.isdecimal() and int(w) < 256 for w in words[:3]):
            raise UserError(
                f"--palette {shown(path)}, line {number}: {line!r}; wanted `R G B name`, such as `128 64 128 road`"
            )
        rows.append((" ".join(words[3:]), tuple(map(int, words[:3]))))
    return palette(rows, f"--palette {shown(path)}")


def palette(rows: Iterable[tuple[str, tuple[int, ...]]], where: str = "the palette") -> Palette:
    """A palette from (name, (R, G, B)) rows. UserError for fewer than two classes, or a name or colour used twice."""
    rows = sorted(rows, key=lambda row: row[0] in IGNORED)  # stable: the scored ones keep their order
    names, colours = [name for name, _ in rows], [colour for _, colour in rows]
    scored = [name for name in names if name not in IGNORED]
    if len(scored) < 2:
        raise UserError(
            f"{where} holds {len(scored)} classes to score; wanted at least 2, a line `R G B name` for each"
        )
    for kind, items in (("name", scored), ("colour", colours)):
        if twice := [item for i, item in enumerate(items) if item in items[:i]]:
            raise UserError(f"{where}: the {kind} {shown(twice[0])} stands twice; classes are told apart by both")
    return Palette(tuple(names), np.array(colours, np.uint8))
