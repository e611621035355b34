"""One image: from a file to a float32 array [H,W,C] in [-1, 1].

Every common mode is read, so that nobody has to convert a folder first:

    1, L, P, CMYK, YCbCr, LAB, HSV   converted as Pillow does
    I;16, I (16-bit grayscale)       divided by 65535, or by --white_level
    RGBA, LA, transparent P          laid on white, as a browser shows them: the colours stored under transparent
                                     pixels are arbitrary, and dropping alpha would uncover them
    F (32-bit float)                 refused: its range is unknown
    TIFF with bands of data          all bands, or of RGB the colours alone (train/data/bands.py)
    .npy [H,W] or [H,W,C]            uint8, uint16, or floats that are in [-1, 1] already

Images become 1 (gray), 3 (RGB), or 2 and 4 channels (with alpha as one more); arrays may have any number, which is then
the one wanted, except that gray serves as RGB. The camera's EXIF orientation is honoured. Colour files of 16 bits are read
whole where libvips is installed (train/data/deep.py), and with 8 bits elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from train.data import deep
from train.data.bands import all_bands, bands_in
from train.data.opening import array_head, array_in, opened
from train.data.pixels import LEVELS, to_gray
from train.errors import UserError, shown

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_MODE_NAMES = {"1": "black and white", "L": "grayscale", "LA": "grayscale with alpha", "P": "palette", "PA": "palette"}
_ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclass(frozen=True)
class Picture:
    """An image as read: its values, and what else an output of the same kind should have."""

    pixels: np.ndarray  # [H,W,C] float32 in [-1, 1]
    bits: int = 8  # of a value in the file: 8, 16, or 32 for floats
    alpha: np.ndarray | None = None  # uint8 [H,W]; uint16 where the file's is
    icc: bytes | None = None  # the colour profile, where the values are still what it speaks of
    white: int = LEVELS[16]  # the value of 16 bits that is 1
    bands: bool = False  # whether it has bands beyond colour and transparency


@dataclass(frozen=True)
class Header:
    """What a file says of its image before it is decoded; width and height (pixels) as seen, after EXIF rotation."""

    width: int
    height: int
    mode: str
    channels: int = 0  # of an array, or with bands of data; 0 for another image, which can have 1 to 4
    bits: int = 8  # of a value, as in Picture


def describe_mode(mode: str) -> str:
    """A Pillow mode in words: "L" is "grayscale", "I;16" is "16-bit grayscale"; others are their own name."""
    return "16-bit grayscale" if mode.startswith("I") else _MODE_NAMES.get(mode, mode)


def inspect(path: str | Path, data: bytes | None = None, channels: int = 0) -> Header:
    """Reads a file's header only. Raises the same errors as `load_image`, but cannot see that a file is cut short.

    From `data` if given; then `path` is only its name. channels: how many are wanted (0: whatever there are).
    """
    path = Path(path)
    if path.suffix.lower() == ".npy" and data is None:
        (height, width, own), dtype = array_head(path)
        _can_have(path, own, channels or own, height)
        return Header(width, height, f"array of {own} channels", own, 8 * min(dtype.itemsize, 4))
    if bands := bands_in(path, data):
        bands.check(path, channels or bands.samples)
        return Header(bands.width, bands.height, bands.mode, bands.samples, bands.bits)
    _can_have(path, 0, channels or 3)
    with opened(path, data) as image:
        # Asking a PNG for EXIF decodes all of it; PNGs with an orientation are too rare to pay that at start-up.
        orientation = image.getexif().get(0x0112) if image.format != "PNG" else None
        # Some versions of Pillow give a TIFF's size turned already; its own tags do not depend on the version.
        size = (image.tag_v2[256], image.tag_v2[257]) if isinstance(image, TiffImageFile) else image.size
        width, height = size[::-1] if orientation in _ROTATED else size
        return Header(width, height, image.mode, bits=16 if image.mode.startswith("I") or deep.is_deep(image) else 8)


def load_image(path: str | Path, channels: int = 3, white: int = LEVELS[16]) -> np.ndarray:
    """Reads an image as float32 [H,W,channels] in [-1, 1]. white: the value of 16 bits that is 1; what is larger is 1 too.

    Raises UserError naming the file when it is unreadable, truncated, animated, too large, of unknown range, or cannot
    have that many channels.
    """
    return load_picture(path, channels, white=white).pixels


def decode(path: Path) -> None:
    """Reads an image to its end and forgets it. UserError if it cannot be, as `load_image` has it."""
    if path.suffix.lower() == ".npy":
        array_in(path)
    elif bands := bands_in(path):
        all_bands(path, path.read_bytes(), bands)
    else:
        with opened(path) as image:
            image.load()


def load_picture(
    path: str | Path, channels: int = 3, data: bytes | None = None, side: int = 0, white: int = LEVELS[16]
) -> Picture:
    """Reads an image with what belongs to it; from `data` if given, then `path` is only its name. Raises as load_image.

    white  the value of 16 bits that is 1; what is larger is 1 too
    side  what is larger is made smaller while it is decoded, in 8 bits, though not below this many pixels across (0: never)
    """
    path = Path(path)
    if path.suffix.lower() == ".npy" and data is None:
        return _load_array(path, channels, white)
    bands = bands_in(path, data)
    if bands:
        bands.check(path, channels)
        if channels == bands.samples:
            values = all_bands(path, path.read_bytes() if data is None else data, bands, side)
            top = white if bands.bits == 16 else LEVELS[8]
            return Picture(_scaled(values, top), bands.bits, white=white, bands=True)
    _can_have(path, 0, channels)
    with opened(path, data) as image:
        deeper = deep.is_deep(image) and not side
        if deeper and deep.available():
            values, icc = deep.decode(path.read_bytes() if data is None else data, image.format)
            wanted = values[..., : bands.colours + bands.opacity] if bands else values
            return _deep_picture(wanted, icc, channels, white)
        if deeper and white != LEVELS[16]:
            raise UserError(f'{shown(path)}: 16 bits in colour; --white_level needs pip install -e ".[deep]" for these')
        if side:
            image.draft(None, (side, side))  # a JPEG is decoded at an eighth of its size if that will do
        ImageOps.exif_transpose(image, in_place=True)
        image.load()
        upright = _reduced(image, side) if side else image
        return _picture(path, upright, channels, 16 if deeper else 8, white)


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """An image made smaller by a whole factor, but not below `side` pixels across."""
    factor = max(image.size) // side
    if factor < 2 or image.mode == "F":
        return image
    if image.has_transparency_data:  # colours under transparent pixels are arbitrary, and must not run into others
        return image.convert("RGBA").convert("RGBa").reduce(factor).convert("RGBA")
    if image.mode in ("1", "P") or image.mode.startswith("I;"):
        image = image.convert({"1": "L", "P": "RGB"}.get(image.mode, "I"))
    return image.reduce(factor)


def _picture(path: Path, upright: Image.Image, channels: int, bits: int, white: int) -> Picture:
    """A decoded image as values in [-1, 1]."""
    if upright.mode.startswith("I"):
        values = np.asarray(upright)  # [H,W]
        if values.min() < 0 or values.max() > LEVELS[16]:
            raise UserError(
                f"{shown(path)}: holds values from {values.min()} to {values.max()}; wanted 16 bits, 0 to {LEVELS[16]}"
            )
        return Picture(_spread(path, _scaled(values, white)[..., None], channels), bits=16, white=white)
    if upright.mode == "F":
        raise UserError(f"{shown(path)}: a 32-bit float image, whose range is unknown; save it with 8 or 16 bits")
    if upright.mode == "LAB":
        upright = upright.convert("RGB")  # from which it can become gray
    icc = upright.info.get("icc_profile") if upright.mode in ("L", "LA", "RGB", "RGBA") else None
    alpha = None
    if upright.has_transparency_data and channels in (1, 3):
        rgba = upright.convert("RGBA")
        alpha = np.asarray(rgba)[..., 3]
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    x = np.array(upright if upright.mode == MODES[channels] else upright.convert(MODES[channels]), np.float32)
    x /= 255.0  # in place: three further arrays of a large picture are much memory
    x *= 2.0
    x -= 1.0
    x = x.reshape(*x.shape[:2], channels)
    return Picture(x, bits, alpha, icc)


def _scaled(values: np.ndarray, white: int) -> np.ndarray:
    """Whole numbers from 0 to `white` as float32 from -1 to 1; larger ones are 1."""
    return _shares(values, white) * 2 - 1


def _shares(values: np.ndarray, white: int) -> np.ndarray:
    """The same from 0 to 1."""
    x = values.astype(np.float32) / white
    return x if white >= np.iinfo(values.dtype).max else np.minimum(x, np.float32(1))


def _deep_picture(values: np.ndarray, icc: bytes | None, channels: int, white: int) -> Picture:
    """What Pillow would make of uint16 [H,W,C], alpha last where C is even, with all 16 bits."""
    transparent = values.shape[2] % 2 == 0
    colour = _shares(values[..., :-1] if transparent else values, white)
    opaque = _shares(values[..., -1:], LEVELS[16]) if transparent else np.ones_like(colour[..., :1])
    alpha = None
    if transparent and channels in (1, 3):
        alpha, colour = values[..., -1], 1 - opaque * (1 - colour)  # on white
    if channels < 3 <= colour.shape[2]:
        colour = to_gray(colour)
    elif channels >= 3 > colour.shape[2]:
        colour = np.repeat(colour, 3, axis=2)
    if channels in (2, 4):
        colour = np.concatenate([colour, opaque], axis=2)
    return Picture(colour * 2 - 1, 16, alpha, icc, white)


def _load_array(path: Path, channels: int, white: int) -> Picture:
    array = array_in(path)
    _can_have(path, array.shape[2], channels, len(array))
    if array.dtype in (np.uint8, np.uint16):
        bits = 8 * array.dtype.itemsize
        return Picture(_spread(path, _scaled(array, white if bits == 16 else LEVELS[8]), channels), bits, white=white)
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{shown(path)}: holds {array.dtype}; wanted uint8, uint16, or floats in [-1, 1]")
    if not (abs(array) <= 1).all():
        raise UserError(
            f"{shown(path)}: holds values from {array.min():g} to {array.max():g}; wanted floats in [-1, 1]"
        )
    return Picture(_spread(path, array.astype(np.float32), channels), bits=32)


def _spread(path: Path, x: np.ndarray, channels: int) -> np.ndarray:
    """[H,W,C] with the channels that are wanted: gray serves as RGB; anything else must fit."""
    _can_have(path, x.shape[2], channels)
    return x if x.shape[2] == channels else np.repeat(x, channels, axis=2)


def _can_have(path: Path, own: int, channels: int, height: int = 0) -> None:
    """UserError unless a file gives as many channels as are wanted; `own` is an array's count, 0 for an image, `height` an
    array's first side."""
    if not own and channels not in MODES:
        raise UserError(
            f"{shown(path)}: an image has 1 (gray) to 4 channels, {channels} were asked for; that many need .npy files"
        )
    if own and own != channels and (own, channels) != (1, 3):
        first = height == channels or height <= 4 < own
        turn = f"; it looks like [C,H,W] with C = {height}: wanted [H,W,C], np.moveaxis(x, 0, -1)" if first else ""
        raise UserError(f"{shown(path)}: has {own} channels, {channels} were asked for{turn}")
