"""16 bits per value in colour, or beside transparency. Pillow reads and writes these with 8; libvips has them whole.

libvips comes with `pip install "palindrome[deep]"` and is loaded only for such a file.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
from PIL import Image

INTERPRETATIONS = {1: "grey16", 2: "grey16", 3: "rgb16", 4: "rgb16"}
SETTINGS: dict[str, dict[str, Any]] = {".png": {}, ".tif": dict(compression="deflate", predictor="horizontal")}
SETTINGS[".tiff"] = SETTINGS[".tif"]
ICC = "icc-profile-data"  # where libvips keeps it


def is_deep(image: Image.Image) -> bool:
    """Whether an opened PNG or TIFF holds more than Pillow will read: asked before it is decoded."""
    tiles = getattr(image, "tile", [])
    return image.mode in ("LA", "RGB", "RGBA") and any(";16" in str(tile[3]) for tile in tiles)


def available() -> bool:
    """Whether libvips is installed."""
    return importlib.util.find_spec("pyvips") is not None


def decode(data: bytes, kind: str | None) -> tuple[np.ndarray, bytes | None]:
    """Values uint16 [H,W,C], upright, C from 2 to 4 with alpha last; and the colour profile. ValueError on a broken file.

    kind  "PNG" or "TIFF": libvips is not left to find out by itself, for it knows many others, some through other programs
    """
    vips = _vips()
    try:
        read = {"PNG": vips.Image.pngload_buffer, "TIFF": vips.Image.tiffload_buffer}[str(kind)]
        image = read(data, fail_on="truncated").autorot()
        values = image.numpy()
    except vips.Error as error:
        raise ValueError(" ".join(str(error).split())) from error
    return values.astype(np.uint16, copy=False), image.get(ICC) if image.get_typeof(ICC) else None


def encode(values: np.ndarray, suffix: str, icc: bytes | None = None) -> bytes:
    """A PNG or TIFF, as `suffix` says, of values uint16 [H,W,C], C from 1 to 4 with alpha last.

    Gray with alpha goes into a TIFF as colour, because Pillow cannot open the other.
    """
    if values.shape[2] == 2 and suffix != ".png":
        values = values[..., [0, 0, 0, 1]]
    image = _vips().Image.new_from_array(np.ascontiguousarray(values), interpretation=INTERPRETATIONS[values.shape[2]])
    if icc is not None:
        image = image.copy()
        image.set_type(_vips().GValue.blob_type, ICC, icc)
    data: bytes = image.write_to_buffer(suffix, **SETTINGS[suffix])
    return data


def _vips() -> Any:
    return importlib.import_module("pyvips")
