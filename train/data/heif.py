"""HEIC and HEIF, as telephones save photos: read by pillow-heif, which comes with `pip install -e ".[heic]"`.

It is loaded for such a file only, and asked for the main picture alone: no previews, depth or other images in it. More than
8 bits are read with 8.
"""

from __future__ import annotations

import importlib
import importlib.util

EXTENSIONS = frozenset({".heic", ".heif", ".hif"})
KIND = "HEIF"  # Pillow's name
INSTALL = 'pip install -e ".[heic]"'


def available() -> bool:
    """Whether pillow-heif is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def begins(head: bytes) -> bool:
    """Whether a file that begins with these bytes, 12 of them, is one: an ISO base media file of a brand for HEVC pictures."""
    return head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")


def teach_pillow() -> None:
    """Have Pillow open such files, where it is asked for them. ValueError where pillow-heif is not installed."""
    if not available():
        raise ValueError(f"a HEIC photo: {INSTALL} reads these")
    importlib.import_module("pillow_heif").register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
