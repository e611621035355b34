"""JSON as every program reads it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from train.files.atomic import write_text


def write_json(path: Path, tree: Any) -> None:
    """Write a tree of plain values and NumPy scalars atomically."""
    write_text(path, json.dumps(finite(tree), indent=2, ensure_ascii=False, allow_nan=False))


def finite(value: Any) -> Any:
    """The tree in which numbers that JSON does not know (the PSNR of equal pictures, a share of nothing) are null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    value = value.item() if hasattr(value, "item") else value  # a NumPy scalar
    return None if isinstance(value, float) and not math.isfinite(value) else value
