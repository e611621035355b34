"""Pictures of more than colour and transparency: TIFF files of satellites and microscopes, with bands that are data.

A TIFF's tags say what its further samples are: transparency, or something else, such as near infrared, which Pillow drops. Here
all bands are read, by libvips (train/data/deep.py), or the file is refused: no band is ever replaced.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, TiffImagePlugin

from train.data import deep
from train.data.opening import guard
from train.errors import UserError, shown
from train.files.bounded import open_file

WIDTH, HEIGHT, BITS, PHOTOMETRIC, ORIENTATION, SAMPLES, EXTRA, FORMAT = 256, 257, 258, 262, 274, 277, 338, 339  # tags
COLOURS = {0: 1, 1: 1, 2: 3}  # of a photometric interpretation: gray, gray, RGB. Others have no such bands
TRANSPARENCY = (1, 2, 999)  # of a further sample; 0 is unspecified
FLOATS = 3


class Bands(NamedTuple):
    """What a file says: pixels across and down, upright; bands, of how many bits; how many of them are gray or RGB, and
    whether one of the rest is transparency."""

    width: int
    height: int
    samples: int
    bits: int
    colours: int
    opacity: bool

    @property
    def mode(self) -> str:
        """In words."""
        more = self.samples - self.colours
        return f"{'gray' if self.colours == 1 else 'RGB'} beside {more} {'band' if more == 1 else 'bands'} of data"

    def check(self, path: Path, channels: int) -> None:
        """UserError unless it gives as many channels: all bands, or of RGB the colours alone."""
        alone = (1, 3, 4)[: 3 if self.opacity else 2] if self.colours == 3 else ()
        if channels not in (self.samples, *alone):
            raise UserError(
                f"{shown(path)}: has {self.samples} bands, {channels} were asked for; --input_nc or --output_nc {self.samples} takes all, "
                "or save those that you want as .npy [H,W,C]"
            )


def bands_in(path: Path, data: bytes | None = None) -> Bands | None:
    """The bands of a TIFF that holds more than colour and transparency, of `data` if given; None for every other picture."""
    if data is None and path.suffix.lower() not in (".tif", ".tiff"):
        return None
    with guard(path, "cannot be read as an image"), open_file(path) if data is None else io.BytesIO(data) as file:
        head = file.read(8)
        if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return None
        tags = TiffImagePlugin.ImageFileDirectory_v2(head + file.read(8) if b"+" in head[:4] else head)
        file.seek(tags.next)
        tags.load(file)
        found = _told_by(tags)
        if found and tags.next:
            raise ValueError("it holds several frames; save the one you want as a still image")
        limit = Image.MAX_IMAGE_PIXELS
        if found and limit is not None and found.width * found.height * max(found.samples, 4) > 4 * limit:
            raise Image.DecompressionBombError(f"{found.width}x{found.height} pixels of {found.samples} bands")
        return found


def _told_by(tags: Mapping[int, Any]) -> Bands | None:
    colours, samples = COLOURS.get(tags.get(PHOTOMETRIC, 0), 0), tags.get(SAMPLES, 1)
    more, extra = samples - colours, tuple(tags.get(EXTRA, ()))
    plain = more <= 0 or (more == 1 and (extra[:1] or (TRANSPARENCY[0],))[0] in TRANSPARENCY)
    if not colours or plain:
        return None
    bits, kinds = set(tags.get(BITS, (1,))), set(tags.get(FORMAT, (1,)))
    if bits not in ({8}, {16}) or kinds != {1}:
        what = "floats" if kinds == {FLOATS} else f"values of {', '.join(map(str, sorted(bits)))} bits"
        raise ValueError(f"{samples} bands of {what}; wanted 8 or 16 bits, or .npy files [H,W,C]")
    width, height = int(tags[WIDTH]), int(tags[HEIGHT])
    if tags.get(ORIENTATION, 1) in (5, 6, 7, 8):
        width, height = height, width
    return Bands(width, height, samples, bits.pop(), colours, sum(e in TRANSPARENCY for e in extra) == 1)


def all_bands(path: Path, data: bytes, bands: Bands, side: int = 0) -> np.ndarray:
    """The values of all bands, uint8 or uint16 [H,W,C]; made smaller by a whole factor, though not below `side` pixels across
    (0: never). UserError where libvips is not installed."""
    if not deep.available():
        raise UserError(
            f'{shown(path)}: has {bands.samples} bands; pip install -e ".[deep]" reads them all, or save it as .npy [H,W,C]'
        )
    with guard(path, "cannot be decoded"):
        factor = max(1, max(bands.width, bands.height) // side) if side else 1
        values, _ = deep.decode(data, "TIFF", factor)
        if values.shape[2] != bands.samples:
            raise ValueError(f"{values.shape[2]} bands, where its head says {bands.samples}")
        return values
