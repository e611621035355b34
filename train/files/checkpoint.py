"""Checkpoints: one file that holds everything an exact resume needs, and is never seen half-written.

The file is an uncompressed `.npz`, so `numpy.load(path)["gen_ab/model.1.weight"]` works anywhere, plus `manifest.json`:
the tree of the state with each array replaced by its name. Nothing is ever pickled, so opening a stranger's file
cannot run code. Zip keeps a CRC-32 of each member, and reading checks it: a flipped bit is an error, not a bad picture.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from train.errors import UserError, shown
from train.files.atomic import write_atomically
from train.files.bounded import open_file, read_json, read_npy, stored_zip

FORMAT, VERSION = "palindrome-checkpoint", 2
MANIFEST = "manifest.json"
ARRAY = "$array"  # the manifest's mark for "here stands the array of this name"


def save(path: str | Path, state: Any) -> None:
    """Write `state`, a tree of dicts (string keys), lists, str, int, float, bool, None and NumPy arrays, atomically.

    A reader sees the old file or the new one, whenever the process or the machine stops. Raises `UserError` if the
    disk refuses (full, read-only, no permission), leaving the old file as it was; TypeError or ValueError, before
    anything is written, if the tree holds something else.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = _without_arrays(state, "", arrays)
    manifest = json.dumps({"format": FORMAT, "version": VERSION, "tree": tree}).encode()

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(MANIFEST, manifest)
            for name, array in arrays.items():
                with archive.open(name + ".npy", "w", force_zip64=True) as member:  # 64-bit sizes: arrays over 2 GiB
                    np.lib.format.write_array(member, array, allow_pickle=False)

    write_atomically(path, write, size=len(manifest) + sum(array.nbytes + 512 for array in arrays.values()))


def load(path: str | Path) -> Any:
    """What `save` wrote. Raises `UserError` if the file is missing, damaged, not ours or of a newer version."""
    path = Path(path)
    name = shown(path)
    try:
        with open_file(path) as file, stored_zip(file) as archive:
            if MANIFEST not in archive.namelist():
                raise UserError(f"{name} is a zip file without {MANIFEST}: not a checkpoint of this program.{_OTHER}")
            head = read_json(archive.read(MANIFEST))
            if not isinstance(head, dict) or head.get("format") != FORMAT:
                raise UserError(f"{name}: its {MANIFEST} does not say format {FORMAT!r}: not one of ours.{_OTHER}")
            if head["version"] not in range(1, VERSION + 1):
                raise UserError(
                    f"{name} is a checkpoint of version {head['version']}; this program reads versions 1 to {VERSION}. "
                    "Update the program, or use the one that made the file."
                )
            members = {info.filename for info in archive.infolist()}
            return _migrated(_with_arrays(head["tree"], archive, members), head["version"])
    except FileNotFoundError:
        raise UserError(f"{name}: there is no such checkpoint.{_seen_beside(path)}") from None
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror}. A checkpoint is a file you may read.") from error
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a damaged zip raises any of a dozen types, even NotImplementedError
        size = path.stat().st_size
        raise UserError(
            f"{name} ({size:,} bytes) is damaged or not a checkpoint: {shown(error, 300)}. It may have been cut short or changed "
            f"while it was copied: copy it again.{_OTHER}{_seen_beside(path)}"
        ) from error


def _migrated(state: Any, version: int) -> Any:
    """A run's state of an older version as this version would have written it; anything else as it is.

    1 → 2   there was one program only, no looks (train/run/watch.py), and no random stream of the gradient penalty
    """
    if version < 2 and isinstance(state, dict) and "run" in state:
        state.setdefault("program", "train.cyclegan")
        state.setdefault("watch", {"recent": {}})
        if "pools" in state["model"]:
            unused = np.random.default_rng([state["config"]["seed"], 6])  # as train/models/cyclegan.py begins it
            state["model"].setdefault("mixing", unused.bit_generator.state)
    return state


_OTHER = " Give another checkpoint, or start afresh without --continue_train."


def _without_arrays(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """A JSON tree like `value`; its arrays go into `arrays` under their path, such as "gen_ab/model.1.weight"."""
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError(f"{place or 'the state'} is an array of Python objects; a checkpoint holds numbers")
        arrays[place or "array"] = value
        return {ARRAY: place or "array"}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or "/" in key or key == ARRAY:  # "/" joins the names: it must not be in one
                raise ValueError(
                    f"{place or 'the state'} has the key {key!r}; wanted a string without '/', not {ARRAY!r}"
                )
        return {key: _without_arrays(item, f"{place}/{key}" if place else key, arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_arrays(item, f"{place}/{i}" if place else str(i), arrays) for i, item in enumerate(value)]
    if value is None or type(value) in (str, int, float, bool):
        return value
    raise TypeError(
        f"{place or 'the state'} is a {type(value).__name__}; a checkpoint holds dicts, lists, str, int, float, bool, "
        "None and NumPy arrays. Convert it, so that what is loaded equals what was saved."
    )


def _with_arrays(tree: Any, archive: zipfile.ZipFile, members: set[str]) -> Any:
    """The tree with its arrays, each from a member that is used once: then all are no larger than the file."""
    if isinstance(tree, dict) and tree.keys() == {ARRAY}:
        name = tree[ARRAY] + ".npy"
        if name not in members:
            raise ValueError(f"the array {name} is not there, or named twice")
        members.remove(name)
        return read_npy(archive.read(name)).copy("K")  # read whole, so that the CRC is checked; may be written to
    if isinstance(tree, dict):
        return {key: _with_arrays(item, archive, members) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(item, archive, members) for item in tree]
    return tree


def _seen_beside(path: Path) -> str:
    try:
        others = sorted(p.name for p in path.parent.glob("*" + path.suffix) if p.is_file() and p != path)
    except OSError:
        return ""
    return f" Beside it: {shown(', '.join(others[-5:]))}." if others else ""
