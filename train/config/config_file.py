"""`--config FILE`: settings from a file, TOML or a run's own config.json; what is typed wins over it."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.config.checks import wanted
from train.config.habits import KNOWN, RENAMED, rows
from train.errors import UserError, shown
from train.files.bounded import check_text, open_file, read_json

if TYPE_CHECKING:
    from train.config.settings import Config


def read_settings(path: Path, config: type[Config]) -> dict[str, Any]:
    """The settings that a file names, each checked by itself, and `preset` where it names one.

    A line `crop_size = 128` (in JSON `"crop_size": 128`) is `--crop_size 128`. UserError with all that no run can use, each
    unknown name beside the nearest known one.
    """
    found, options, problems = _read(path), config.options(), []
    if str(found.get("netG", "")).removeprefix("resnet_") in ("6blocks", "9blocks"):  # as on the command line
        found |= {"netG": "resnet", "n_blocks": found.get("n_blocks", int(found["netG"][7]))}
    for name, value in found.items():
        if name == "preset":
            if value not in config.presets:
                problems.append(f"preset is {shown(repr(value))}; wanted one of {', '.join(config.presets)}")
        elif name not in options:
            problems.append(f"there is no setting {shown(name)}" + _hint(name, value, [*options, "preset"]))
        elif why := wanted(options[name], value):
            problems.append(f"{name} is {shown(repr(value))}; {why}")
    if problems:
        raise UserError("\n  ".join([f"--config {shown(path)}:", *problems]))
    return found


def _hint(name: str, value: Any, known: list[str]) -> str:
    """What may have been meant by a name that is none; of the reference implementation's the nearest would lead astray."""
    if name in RENAMED:
        return f"; it is {RENAMED[name]}"
    if habit := rows(name, str(value), "", "train", known, {}):
        return f"; {habit.here.format(value=value) or habit.why}"
    near = difflib.get_close_matches(name, known, 1) if name not in KNOWN else []
    return f"; did you mean {near[0]}?" if near else ""


def blame(error: UserError, path: Path, found: dict[str, Any]) -> UserError:
    """The error, and of the options that it names those that `found` in the file are."""
    named = [name for name in dict.fromkeys(re.findall(r"--(\w+)", str(error))) if name in found]
    said = ", ".join(f"{name} = {found[name]!r}" for name in named)
    return UserError(f"{error} ({shown(path)} says {said})") if said else error


def _read(path: Path) -> dict[str, Any]:
    """A file as a dict. UserError where it cannot be read, or is none."""
    try:
        with open_file(path) as file:
            data = file.read()
        check_text(len(data))
        found = read_json(data) if path.suffix == ".json" else tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise UserError(f"--config {shown(path)}: cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # tomllib's and json's, which say where, among them
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise UserError(f"--config {shown(path)}: is no {kind}: {shown(error, 300)}") from None
    except RecursionError:
        raise UserError(f"--config {shown(path)}: is nested too deep") from None
    if not isinstance(found, dict):
        raise UserError(f"--config {shown(path)}: holds a {type(found).__name__}; wanted names and values")
    return found
