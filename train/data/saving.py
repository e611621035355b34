"""One image: from a float32 array [H,W,C] in [-1, 1] to a file, with what belongs to it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from train.data import deep
from train.data.images import MODES, Picture
from train.data.listing import EXTENSIONS
from train.data.pixels import to_integers
from train.errors import UserError, shown
from train.files.atomic import write_atomically, write_bytes

KEEPS_ALPHA = frozenset({".png", ".tif", ".tiff", ".webp"})
KEEPS_16_BITS = frozenset({".png", ".tif", ".tiff"})
SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"RGB "}
"""What a colour profile says at its byte 16 that it speaks of, by a picture's channels. One of gray in a colour file is
refused by colour-managed programs."""


def save_image(path: str | Path, x: np.ndarray) -> None:
    """Writes [H,W,C] in [-1, 1], C from 1 to 4, with 8 bits; the name's extension picks the format."""
    save_picture(path, Picture(x))


def save_picture(path: str | Path, picture: Picture) -> None:
    """Writes a picture atomically; the name's extension picks the format.

    16 bits stay 16 where the format has them (PNG, TIFF), in colour if libvips is installed; alpha stays where it has alpha
    (PNG, TIFF, WebP), a colour profile where it speaks of as many channels; `.npy` keeps everything but these two. JPEG and
    WebP are written at quality 95. Raises UserError naming the file when the format cannot hold the picture.
    """
    path, x = Path(path), picture.pixels
    suffix, channels = path.suffix.lower(), x.shape[2]
    if suffix == ".npy":
        kept = x if picture.bits == 32 else to_integers(x, picture.bits, picture.white if picture.bits == 16 else 0)
        write_atomically(path, lambda file: np.save(file, kept, allow_pickle=False), size=kept.nbytes)
        return
    bits = 16 if picture.bits >= 16 and keeps_16_bits(path, channels) else 8
    values = to_integers(x, bits, picture.white if picture.bits == bits == 16 else 0)
    if picture.bands and channels > 3 and suffix in (".tif", ".tiff"):
        write_bytes(path, deep.encode(values, suffix, bands=True))
        return
    if channels not in MODES:
        raise UserError(f"{shown(path)}: no image format holds {channels} channels; write .npy files")
    if picture.alpha is not None and channels in (1, 3) and suffix in KEEPS_ALPHA:
        values = np.concatenate([values, _with_bits(picture.alpha, bits)[..., None]], axis=2)
    icc = picture.icc if picture.icc and picture.icc[16:20] == SPACES.get(channels) else None
    if bits == 16 and values.shape[2] > 1:
        write_bytes(path, deep.encode(values, suffix, icc))
        return
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    more: dict[str, Any] = {"icc_profile": icc} if icc else {}
    try:
        kind = Image.registered_extensions()[suffix]
        if kind in ("JPEG", "WEBP"):
            more |= {"quality": 95}
        buffer = io.BytesIO()
        image.save(buffer, kind, **more)
    except KeyError as e:
        raise UserError(f"{shown(path)}: unknown format {suffix}; wanted {' '.join(sorted(EXTENSIONS))}") from e
    except (OSError, ValueError) as e:  # a mode or a size that the format lacks: WebP ends at 16383 pixels
        raise UserError(f"{shown(path)}: cannot be written in this format ({e}); choose another with --format") from e
    write_bytes(path, buffer.getbuffer())


def keeps_16_bits(path: Path, channels: int) -> bool:
    """Whether a file of that name can hold 16 bits per value."""
    suffix = path.suffix.lower()
    return suffix == ".npy" or (suffix in KEEPS_16_BITS and (channels == 1 or deep.available()))


def _with_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """uint8 or uint16 as the one that is wanted."""
    if values.dtype.itemsize * 8 == bits:
        return values
    return values.astype(np.uint16) * 257 if bits == 16 else np.rint(values / 257).astype(np.uint8)
