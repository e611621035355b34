"""The files below a folder, each folder visited once: links are followed, and cannot lead round in a circle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from train.errors import shown


class Found(NamedTuple):
    """Files, and links that led to a folder which had been visited already."""

    files: list[Path]
    again: list[Path]

    def told(self) -> str:
        """What to say of the links; "" if there are none."""
        if not self.again:
            return ""
        more = f" and {len(self.again) - 1} more" if self.again[1:] else ""
        return f"{shown(self.again[0])}{more}: a link to a folder that is read already; not followed again"


def files_below(folder: Path) -> Found:
    """Everything below a folder but folders: first what lies there itself, then what links lead to."""
    found, seen, roots = Found([], []), set(), [folder]
    for root in roots:  # to which links are added on the way
        for where, folders, names in os.walk(root):
            real = os.stat(where)
            if (real.st_dev, real.st_ino) in seen:
                found.again.append(Path(where))
                folders.clear()
                continue
            seen.add((real.st_dev, real.st_ino))
            roots += [Path(where, name) for name in sorted(folders) if os.path.islink(os.path.join(where, name))]
            found.files.extend(Path(where, name) for name in names)
    return found
