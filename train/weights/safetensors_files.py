"""`.safetensors` files, read within bounds and written, by the library of that name, which is loaded on first use."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from train.errors import UserError, shown
from train.files.atomic import write_bytes
from train.files.bounded import check_text, open_file, read_json

ABOUT = "palindrome"  # the key under which a file of ours says what it holds


def read(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays by key, and what a file of our own says of itself (else {}). UserError for what is none."""
    library()
    try:
        with open_file(path) as start:
            check_text(int.from_bytes(start.read(8), "little"))  # of the header, before a library reads it
        with importlib.import_module("safetensors").safe_open(path, "np") as file:
            about = read_json((file.metadata() or {}).get(ABOUT, "{}").encode())
            return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118  the library's own method
    except Exception as error:  # its own error type, or NumPy's for a dtype that NumPy lacks
        raise UserError(f"{shown(path)}: cannot be read as safetensors ({shown(error, 300)})") from error


def write(path: Path, state: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """Arrays by key, and what the file says of itself."""
    write_bytes(path, library().save(dict(state), {"format": "pt", ABOUT: json.dumps(about)}))


def library() -> ModuleType:
    """The library, or an error that says how to get it."""
    try:
        return importlib.import_module("safetensors.numpy")
    except ImportError as error:
        raise UserError('safetensors is not installed: pip install -e ".[exchange]"') from error
