"""One image: from a file to a float32 array [H,W,C] in [-1, 1].

Every common mode is read, so that nobody has to convert a folder first:

    1, L, P, CMYK, YCbCr, LAB, HSV   converted as Pillow does
    I;16, I (16-bit grayscale)       divided by 65535: nothing is clipped
    RGBA, LA, transparent P          laid on white, as a browser shows them: the colours stored under transparent
                                     pixels are arbitrary, and dropping alpha would uncover them
    F (32-bit float)                 refused: its range is unknown
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
from train.data.opening import array_in, array_shape, opened
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


@dataclass(frozen=True)
class Header:
    """What a file says of its image before it is decoded; width and height (pixels) as seen, after EXIF rotation."""

    width: int
    height: int
    mode: str
    channels: int = 0  # of an array; 0 for an image, which can have 1 to 4


def describe_mode(mode: str) -> str:
    """A Pillow mode in words: "L" is "grayscale", "I;16" is "16-bit grayscale"; others are their own name."""
    return "16-bit grayscale" if mode.startswith("I") else _MODE_NAMES.get(mode, mode)


def inspect(path: str | Path, data: bytes | None = None, channels: int = 0) -> Header:
    """Reads a file's header only. Raises the same errors as `load_image`, but cannot see that a file is cut short.

    From `data` if given; then `path` is only its name. channels: how many are wanted (0: whatever there are).
    """
    path = Path(path)
    if path.suffix.lower() == ".npy" and data is None:
        height, width, own = array_shape(path)
        _can_have(path, own, channels or own)
        return Header(width, height, f"array of {own} channels", own)
    _can_have(path, 0, channels or 3)
    with opened(path, data) as image:
        # Asking a PNG for EXIF decodes all of it; PNGs with an orientation are too rare to pay that at start-up.
        orientation = image.getexif().get(0x0112) if image.format != "PNG" else None
        # Some versions of Pillow give a TIFF's size turned already; its own tags do not depend on the version.
        size = (image.tag_v2[256], image.tag_v2[257]) if isinstance(image, TiffImageFile) else image.size
        width, height = size[::-1] if orientation in _ROTATED else size
        return Header(width, height, image.mode)


def load_image(path: str | Path, channels: int = 3) -> np.ndarray:
    """Reads an image as float32 [H,W,channels] in [-1, 1].

    Raises UserError naming the file when it is unreadable, truncated, animated, too large, of unknown range, or cannot
    have that many channels.
    """
    return load_picture(path, channels).pixels


def decode(path: Path) -> None:
    """Reads an image to its end and forgets it. UserError if it cannot be, as `load_image` has it."""
    if path.suffix.lower() == ".npy":
        array_in(path)
        return
    with opened(path) as image:
        image.load()


def load_picture(path: str | Path, channels: int = 3, data: bytes | None = None, side: int = 0) -> Picture:
    """Reads an image with what belongs to it; from `data` if given, then `path` is only its name. Raises as load_image.

    side  what is larger is made smaller while it is decoded, in 8 bits, though not below this many pixels across (0: never)
    """
    path = Path(path)
    if path.suffix.lower() == ".npy" and data is None:
        return _load_array(path, channels)
    _can_have(path, 0, channels)
    with opened(path, data) as image:
        deeper = deep.is_deep(image) and not side
        if deeper and deep.available():
            return _deep_picture(*deep.decode(path.read_bytes() if data is None else data, image.format), channels)
        if side:
            image.draft(None, (side, side))  # a JPEG is decoded at an eighth of its size if that will do
        ImageOps.exif_transpose(image, in_place=True)
        image.load()
        upright = _reduced(image, side) if side else image
        return _picture(path, upright, channels, 16 if deeper else 8)


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


def _picture(path: Path, upright: Image.Image, channels: int, bits: int) -> Picture:
    """A decoded image as values in [-1, 1]."""
    if upright.mode.startswith("I"):
        x = np.asarray(upright).astype(np.float32)  # [H,W]
        if x.min() < 0 or x.max() > 65535:
            raise UserError(f"{shown(path)}: holds values from {x.min():g} to {x.max():g}; wanted 16 bits, 0 to 65535")
        return Picture(_spread(path, (x / 65535.0 * 2.0 - 1.0)[..., None], channels), bits=16)
    if upright.mode == "F":
        raise UserError(f"{shown(path)}: a 32-bit float image, whose range is unknown; save it with 8 or 16 bits")
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


def _deep_picture(values: np.ndarray, icc: bytes | None, channels: int) -> Picture:
    """What Pillow would make of uint16 [H,W,C], alpha last where C is even, with all 16 bits."""
    x = values / np.float32(65535)
    colour, opaque = (x[..., :-1], x[..., -1:]) if x.shape[2] % 2 == 0 else (x, np.ones_like(x[..., :1]))
    alpha = None
    if x.shape[2] % 2 == 0 and channels in (1, 3):
        alpha, colour = values[..., -1], 1 - opaque * (1 - colour)  # on white
    if channels < 3 <= colour.shape[2]:
        colour = to_gray(colour)
    elif channels >= 3 > colour.shape[2]:
        colour = np.repeat(colour, 3, axis=2)
    if channels in (2, 4):
        colour = np.concatenate([colour, opaque], axis=2)
    return Picture(colour * 2 - 1, 16, alpha, icc)


def _load_array(path: Path, channels: int) -> Picture:
    array = array_in(path)
    if array.dtype in (np.uint8, np.uint16):
        bits = 8 * array.dtype.itemsize
        return Picture(_spread(path, array.astype(np.float32) / LEVELS[bits] * 2 - 1, channels), bits)
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


def _can_have(path: Path, own: int, channels: int) -> None:
    """UserError unless a file gives as many channels as are wanted; `own` is an array's count, 0 for an image."""
    if not own and channels not in MODES:
        raise UserError(
            f"{shown(path)}: an image has 1 (gray) to 4 channels, {channels} were asked for; that many need .npy files"
        )
    if own and own != channels and (own, channels) != (1, 3):
        raise UserError(f"{shown(path)}: has {own} channels, {channels} were asked for")
