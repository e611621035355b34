"""One image: between a file and a float32 array [H,W,C] in [-1, 1].

Every common mode is read, so that nobody has to convert a folder first:

    1, L, P, CMYK, YCbCr, LAB, HSV   converted as Pillow does
    I;16, I (16-bit grayscale)       divided by 65535: nothing is clipped
    RGBA, LA, transparent P          laid on white, as a browser shows them: the colours stored under transparent
                                     pixels are arbitrary, and dropping alpha would uncover them
    F (32-bit float)                 refused: its range is unknown

The camera's EXIF orientation is honoured. Pillow reads 16-bit *colour* files to 8 bits per channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from train.errors import UserError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp"})
_MODE_NAMES = {"1": "black and white", "L": "grayscale", "LA": "grayscale with alpha", "P": "palette", "PA": "palette"}
_ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclass(frozen=True)
class Header:
    """What a file says of its image before it is decoded; width and height (pixels) as seen, after EXIF rotation."""

    width: int
    height: int
    mode: str


def describe_mode(mode: str) -> str:
    """A Pillow mode in words: "L" is "grayscale", "I;16" is "16-bit grayscale"; others are their own name."""
    return "16-bit grayscale" if mode.startswith("I") else _MODE_NAMES.get(mode, mode)


def _open(path: Path) -> Image.Image:
    """Opens without decoding. UserError when unreadable, animated, or above Pillow's decompression-bomb limit."""
    try:
        image = Image.open(path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise _too_large(path, str(e)) from e
    except FileNotFoundError as e:
        raise UserError(f"{path}: there is no such file") from e
    except Exception as e:  # Pillow's readers raise OSError, SyntaxError, ValueError, struct.error, … on broken files
        raise UserError(f"{path}: cannot be read as an image ({_reason(path, e)}); replace or remove it") from e
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:  # where Pillow itself only warns
        image.close()
        raise _too_large(path, f"{image.width}x{image.height} pixels, the limit is {limit}")
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a photo with its preview
    if frames > 1:
        image.close()
        raise UserError(f"{path}: holds {frames} frames; save the one you want as a still image")
    return image


def _reason(path: Path, error: Exception) -> str:
    empty = path.is_file() and path.stat().st_size == 0
    unknown = isinstance(error, Image.UnidentifiedImageError)
    return "the file is empty" if empty else "not an image that Pillow knows" if unknown else str(error)


def _too_large(path: Path, detail: str) -> UserError:
    return UserError(f"{path}: too large to be opened safely ({detail}); make it smaller first")


def inspect(path: str | Path) -> Header:
    """Reads a file's header only. Raises the same errors as `load_image`, but cannot see that a file is cut short."""
    path = Path(path)
    with _open(path) as image:
        # Asking a PNG for EXIF decodes all of it; PNGs with an orientation are too rare to pay that at start-up.
        orientation = image.getexif().get(0x0112) if image.format != "PNG" else None
        width, height = image.size[::-1] if orientation in _ROTATED else image.size
        return Header(width, height, image.mode)


def load_image(path: str | Path, channels: int = 3) -> np.ndarray:
    """Reads an image as float32 [H,W,channels] in [-1, 1]; channels is 3 (RGB) or 1 (gray).

    Raises UserError naming the file when it is unreadable, truncated, animated, too large or of unknown range.
    """
    if channels not in (1, 3):
        raise UserError(f"{path}: images have 1 (gray) or 3 (RGB) channels, {channels} were asked for")
    path = Path(path)
    with _open(path) as image:
        try:
            upright = ImageOps.exif_transpose(image)
        except Exception as e:
            raise UserError(f"{path}: cannot be decoded ({e}); replace or remove it") from e
    if upright.mode.startswith("I"):
        x = np.asarray(upright).astype(np.float32)  # [H,W]
        if x.min() < 0 or x.max() > 65535:
            raise UserError(f"{path}: holds values from {x.min():g} to {x.max():g}; wanted 16 bits, 0 to 65535")
        gray = (x / 65535.0 * 2.0 - 1.0)[..., None]  # [H,W,1]
        return gray if channels == 1 else np.repeat(gray, 3, axis=2)
    if upright.mode == "F":
        raise UserError(f"{path}: a 32-bit float image, whose range is unknown; save it with 8 or 16 bits")
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"), np.float32)  # [H,W] or [H,W,3]
    return (pixels / 255.0 * 2.0 - 1.0).reshape(*pixels.shape[:2], channels)


def to_uint8(x: np.ndarray) -> np.ndarray:
    """From [-1, 1] to uint8: (x+1)/2·255, rounded; values beyond the range are clipped. Any shape."""
    return np.clip(np.rint((np.asarray(x, np.float32) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def save_image(path: str | Path, x: np.ndarray) -> None:
    """Writes [H,W,1] or [H,W,3] in [-1, 1]; the name's extension picks the format."""
    pixels = to_uint8(x)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)


def resize(x: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bicubic with anti-aliasing (Pillow's filter, in float: no rounding in between), kept within [-1, 1].

    [H,W,C] → [height,width,C]; an image already of that size is returned untouched.
    """
    if x.shape[:2] == (height, width):
        return x
    planes = [Image.fromarray(x[..., c]).resize((width, height), Image.Resampling.BICUBIC) for c in range(x.shape[2])]
    return np.clip(np.stack([np.asarray(p) for p in planes], axis=-1), -1.0, 1.0)  # [height,width,C]
