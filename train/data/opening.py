"""Where pictures are opened, and nowhere else: files of strangers, of the kinds that we name.

Pillow tells a file's kind by its content, whatever its name, and for some kinds starts another program (Ghostscript for
PostScript). So it is told which kinds it may take; a HEIC photo is one of them where its reader is installed (train/data/heif.py).
What is raised on damaged files is of a dozen types; from here on all are one line that names the file.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from train.data import heif
from train.errors import UserError, shown
from train.files.bounded import npy_head, open_file, read_npy

PLUGINS = (
    BmpImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)  # imported here
KINDS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")  # Pillow's names
MOST_SCANS = 100  # of a progressive JPEG, as libtiff has it: a scan of a few bytes goes over all pixels


@contextlib.contextmanager
def opened(path: Path, data: bytes | None = None) -> Iterator[Image.Image]:
    """A picture's file, not decoded yet; from `data` if given, then `path` is only its name.

    UserError that names the file for everything that goes wrong while it is opened and while it is used in this context: what
    is of no kind that we name, animated, above Pillow's limit of pixels, damaged, or no regular file.
    """
    with contextlib.ExitStack() as stack:
        with guard(path, "cannot be read as an image"):
            file = stack.enter_context(open_file(path) if data is None else io.BytesIO(data))
            head = file.read(12)
            if not head:
                raise ValueError("the file is empty")
            file.seek(0)
            image = stack.enter_context(Image.open(file, formats=_kinds(head)))
            _check(image, file)
        with guard(path, "cannot be decoded"):
            yield image


def array_in(path: Path) -> np.ndarray:
    """The picture in a `.npy`, [H,W,C], read-only."""
    with guard(path, "cannot be read as an array"), open_file(path) as file:
        array = read_npy(file.read())
        return array.reshape(_as_picture(array.shape))


def array_head(path: Path) -> tuple[tuple[int, int, int], np.dtype]:
    """Height, width and channels of the picture in a `.npy`, of which only the head is read, and its type."""
    with guard(path, "cannot be read as an array"), open_file(path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        shape, _, dtype = npy_head(file, size)
        return _as_picture(shape), dtype


@contextlib.contextmanager
def guard(path: Path, what: str) -> Iterator[None]:
    """Makes a UserError of what is raised within; a MemoryError comes out as it is."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise UserError(f"{shown(path)}: there is no such file") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{shown(path)}: too large to be opened safely ({error}); make it smaller first") from error
    except Image.UnidentifiedImageError as error:
        known = f"not an image of a known kind, {', '.join(KINDS)}"
        raise UserError(f"{shown(path)}: {what} ({known}); replace or remove it") from error
    except Exception as error:  # OSError, SyntaxError, ValueError, struct.error, …
        why = shown(getattr(error, "strerror", None) or error, 300)
        raise UserError(f"{shown(path)}: {what} ({why}); replace or remove it") from error


def _kinds(head: bytes) -> tuple[str, ...]:
    """The kinds that a file which begins so may be of. ValueError for a HEIC photo that cannot be read here."""
    if not heif.begins(head):
        return KINDS
    heif.teach_pillow()
    return (heif.KIND,)


def _check(image: Image.Image, file: BinaryIO) -> None:
    """Refuses what is no still picture, and what takes longer to decode than its size says."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:  # where Pillow itself only warns
        raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels, the limit is {limit}")
    if image.format not in ("MPO", heif.KIND) and getattr(
        image, "is_animated", False
    ):  # these have one that is the main one
        raise ValueError("it holds several frames; save the one you want as a still image")
    if image.info.get("progressive"):
        at = file.tell()
        file.seek(0)
        scans = file.read().count(b"\xff\xda")
        file.seek(at)
        if scans > MOST_SCANS:
            raise ValueError(f"a progressive JPEG of {scans} scans; wanted at most {MOST_SCANS}")


def _as_picture(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) not in (2, 3) or 0 in shape:
        raise ValueError(f"it holds {shape}; wanted one image, [H,W] or [H,W,C]")
    return shape[0], shape[1], shape[2] if len(shape) == 3 else 1
