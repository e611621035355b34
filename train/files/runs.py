"""How a run is called on a command line: by its name, by its folder, or by one of the checkpoints in that."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from train.errors import UserError, shown
from train.files.bounded import MOST_TEXT, open_file, read_json


class Called(NamedTuple):
    """A run's folder, and the checkpoint in it that was meant, such as "epoch_005"; "" where none was named."""

    folder: Path
    state: str = ""


def find_run(given: str, parent: Path, option: str, holds: str = "latest.npz") -> Called:
    """The run that is meant: one of that name in `parent`, or the folder or checkpoint at that path, which `holds` such a
    file. UserError, which begins with the `option`, if there is none."""
    for path in (parent / given, Path(given)) if given else ():
        path = path.resolve() if path.name in ("", "..") else path
        if (path / holds).is_file():
            return Called(path)
        if path.suffix == ".npz" and path.is_file() and (path.parent / holds).is_file():
            return Called(path.parent, path.stem)
        if any(path.glob("*_net_*.pth")):
            raise UserError(
                f"{option}: {shown(path)} holds networks of the reference implementation, and no run of this program. "
                f"--weights {shown(path)} translates and evaluates with them; python -m train.convert {shown(path)} --run NAME "
                "makes a run of them"
            )
    runs = sorted(path.parent.name for path in parent.glob(f"*/{holds}"))
    known = f"{shown(parent)} holds {', '.join(map(shown, runs))}" if runs else f"{shown(parent)} holds no run yet"
    if not given:
        raise UserError(f"{option}: which run? Give --name; {known}")
    what = f"the folder {given!r} holds no {holds}" if Path(given).is_dir() else f"there is no run {given!r}"
    raise UserError(f"{option}: {what}; {known}")


def config_beside(weights: Path) -> dict[str, Any]:
    """The settings that a run wrote beside its weights, for people to read; none where there are none, or no such file."""
    file = (weights if weights.is_dir() else weights.parent) / "config.json"
    try:
        with open_file(file) as opened:
            found = read_json(opened.read(MOST_TEXT))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def run_or_file(given: str | Path, parent: Path) -> Path:
    """A path to weights: as it is, or else the run of that name in `parent`."""
    path = Path(given)
    return parent / path if not path.exists() and (parent / path).exists() else path
