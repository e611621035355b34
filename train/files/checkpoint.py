"""Checkpoints: one file that holds everything an exact resume needs, and is never seen half-written.

The file is an uncompressed `.npz`, so `numpy.load(path)["gen_ab/model.1.weight"]` works anywhere, plus `manifest.json`:
the tree of the state with each array replaced by its name. Nothing is ever pickled, so opening a stranger's file
cannot run code. Zip keeps a CRC-32 of each member, and reading checks it: a flipped bit is an error, not a bad picture.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from train.config.settings import Config
from train.errors import UserError

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
    try:
        with zipfile.ZipFile(path) as archive:
            if MANIFEST not in archive.namelist():
                raise UserError(f"{path} is a zip file without {MANIFEST}: not a checkpoint of this program.{_OTHER}")
            head = json.loads(archive.read(MANIFEST))
            if not isinstance(head, dict) or head.get("format") != FORMAT:
                raise UserError(f"{path}: its {MANIFEST} does not say format {FORMAT!r}: not one of ours.{_OTHER}")
            if head["version"] not in range(1, VERSION + 1):
                raise UserError(
                    f"{path} is a checkpoint of version {head['version']}; this program reads versions 1 to {VERSION}. "
                    "Update the program, or use the one that made the file."
                )
            return _migrated(_with_arrays(head["tree"], archive), head["version"])
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such checkpoint.{_seen_beside(path)}") from None
    except (PermissionError, IsADirectoryError) as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}. A checkpoint is a file you may read.") from error
    except UserError:
        raise
    except Exception as error:  # a damaged zip raises any of a dozen types, even NotImplementedError
        size = path.stat().st_size
        raise UserError(
            f"{path} ({size:,} bytes) is damaged or not a checkpoint: {error}. It may have been cut short or changed "
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
            unused = np.random.default_rng([state["config"]["seed"], 6])  # as train/cyclegan.py begins it
            state["model"].setdefault("mixing", unused.bit_generator.state)
    return state


def check_same_run(saved: dict[str, Any], config: Config) -> None:
    """Refuse to continue under settings that make it another run.

    `saved` is the checkpoint's config as a dict. Fields marked `resume="fixed"` must agree; one that the checkpoint
    does not know yet counts as its default. Raises `UserError` with every field that differs and how to agree.
    """
    fields = config.options()
    lines, flags = [], []
    for name in sorted(saved.keys() - fields.keys()):
        lines.append(f"  {name}: saved {saved[name]!r}, a setting that this version of the program does not have")
    for name, field in fields.items():
        was, asked = saved.get(name, field.default), getattr(config, name)
        if field.metadata.get("resume") == "fixed" and was != asked:
            lines.append(f"  {name}: saved {was!r}, asked for {asked!r}")
            switch = f"leave out --{name}" if asked else f"--{name}"
            flags.append(switch if isinstance(was, bool) else f"--{name} {was}")
    if lines:
        agree = f"To go on with the saved run: {', '.join(flags)}. " if flags else ""
        raise UserError(
            "The checkpoint belongs to a run with other settings:\n" + "\n".join(lines) + f"\n{agree}"
            "To start afresh with the settings asked for: leave out --continue_train and give another --name."
        )


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object], size: int = 0) -> None:
    """Let `write` fill a temporary file beside `path`, force it to the disk, then put it in the place of `path`.

    `size` is the number of bytes about to be written, for the message. Raises `UserError` on any OSError; then, as on
    any other exception, `path` is untouched and the temporary file is gone. One that a killed process left behind is
    removed by the next call for the same path.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.iterdir():
            if stale.name.startswith(f".{path.name}.") and stale.name.endswith(".tmp"):
                stale.unlink()
        if size > free_bytes(path.parent):  # known before the first byte: other programs keep what room there is
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())  # else a power cut after the rename may leave an empty file under the good name
            os.replace(temporary, path)
        except BaseException:  # Ctrl-C too
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        free = free_bytes(path.parent)
        beside = f", where {int(free):,} are free" if math.isfinite(free) else ""
        needed = f" It needs {size:,} bytes there{beside}." if size else ""
        kept = " The earlier file is untouched." if path.exists() else ""
        raise UserError(
            f"{path}: cannot be written: {error.strerror or error}.{needed}{kept} "
            "Make room, check that you may write in this folder, or choose another --checkpoints_dir."
        ) from error
    with contextlib.suppress(OSError):  # Windows cannot open a folder; some network disks cannot sync one
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # makes the rename itself last through a power cut
        finally:
            os.close(folder)


def free_bytes(folder: Path) -> float:
    """Room on the disk of `folder`, or of the nearest folder above that exists; infinite where the system does not tell."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(next(f for f in (folder, *folder.absolute().parents) if f.exists())).free
    return math.inf


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


def _with_arrays(tree: Any, archive: zipfile.ZipFile) -> Any:
    if isinstance(tree, dict) and tree.keys() == {ARRAY}:
        data = archive.read(tree[ARRAY] + ".npy")  # whole, so that the CRC is checked
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    if isinstance(tree, dict):
        return {key: _with_arrays(item, archive) for key, item in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(item, archive) for item in tree]
    return tree


def _seen_beside(path: Path) -> str:
    try:
        others = sorted(p.name for p in path.parent.glob("*" + path.suffix) if p.is_file() and p != path)
    except OSError:
        return ""
    return f" Beside it: {', '.join(others[-5:])}." if others else ""
