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


def decode(data: bytes, kind: str | None, factor: int = 1) -> tuple[np.ndarray, bytes | None]:
    """Values uint16 [H,W,C], or uint8 where the file's are, upright, all that there are; and the colour profile. ValueError
    on a broken file.

    factor  the mean of every factor x factor pixels stands for these; they are read strip by strip, in little memory
    kind  "PNG" or "TIFF": libvips is not left to find out by itself, for it knows many others, some through other programs
    """
    vips = _vips()
    try:
        read = {"PNG": vips.Image.pngload_buffer, "TIFF": vips.Image.tiffload_buffer}[str(kind)]
        image = read(data, fail_on="truncated", **({"access": "sequential"} if factor > 1 else {}))
        image = (image.shrink(factor, factor) if factor > 1 else image).autorot()
        values = image.numpy()
    except vips.Error as error:
        raise ValueError(" ".join(str(error).split())) from error
    if values.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"it holds {values.dtype}; wanted 8 or 16 bits")
    return values.reshape(image.height, image.width, -1), image.get(ICC) if image.get_typeof(ICC) else None


def encode(values: np.ndarray, suffix: str, icc: bytes | None = None, bands: bool = False) -> bytes:
    """A PNG or TIFF, as `suffix` says, of values uint16 [H,W,C], C from 1 to 4 with alpha last.

    bands  into a TIFF: what follows RGB is data and no transparency; any C from 4 on, and uint8 too
    Gray with alpha goes into a TIFF as colour, because Pillow cannot open the other.
    """
    if values.shape[2] == 2 and suffix != ".png":
        values = values[..., [0, 0, 0, 1]]
    kind = "multiband" if bands else INTERPRETATIONS[values.shape[2]]
    image = _vips().Image.new_from_array(np.ascontiguousarray(values), interpretation=kind)
    if icc is not None:
        image = image.copy()
        image.set_type(_vips().GValue.blob_type, ICC, icc)
    data: bytes = image.write_to_buffer(suffix, **SETTINGS[suffix])
    return _without_transparency(data) if bands else data


def _without_transparency(data: bytes) -> bytes:
    """A TIFF that libvips wrote, whose further samples it calls transparency, with all of them called unspecified: tag 338."""
    tiff, order = bytearray(data), "little" if data[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)  # type: ignore[arg-type]

    start = number(4, 4)
    for at in range(start + 2, start + 2 + 12 * number(start, 2), 12):
        if number(at, 2) == 338:
            size = 2 * number(at + 4, 4)  # bytes of 16-bit values, which stand here or elsewhere
            place = at + 8 if size <= 4 else number(at + 8, 4)
            tiff[place : place + size] = bytes(size)
    return bytes(tiff)


def _vips() -> Any:
    return importlib.import_module("pyvips")
