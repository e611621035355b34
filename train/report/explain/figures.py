"""Arrays as small pictures for a page: each is embedded once, as a class of its style sheet, and shown wherever it is named."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass, field
from html import escape

import numpy as np
from PIL import Image

from train.data.pixels import for_eyes, to_uint8

MOST = 128  # pixels across a picture; larger ones are shrunk by averaging
TILE, TILES = 32, 8  # pixels across a channel's tile, and channels shown of a layer
GAP = 1  # pixels between tiles
LEVELS = 30  # shades from black to white, and colours from white to blue or to orange: fewer travel lighter
BELOW, MIDDLE, ABOVE = np.array([[33, 102, 172], [247, 247, 247], [196, 82, 10]], np.float64)  # blue, white, orange

Array = np.ndarray


def lettered(text: str) -> str:
    """Escaped, and the networks D_A and D_B with their index below."""
    return re.sub(r"\bD_([AB])\b", r"D<sub>\1</sub>", escape(text))


@dataclass
class Figures:
    """The pictures of a page, by name."""

    sources: dict[str, str] = field(default_factory=dict)

    def show(self, name: str, pixels: Array | None = None, about: str = "", photo: bool = False) -> str:
        """An element that shows uint8 pixels [H,W] or [H,W,3]; without pixels, those that had this name before."""
        key = "i" + "".join(c if c.isalnum() else f"-{ord(c):x}" for c in name)  # as script.js has it
        if pixels is not None:
            self.sources[key] = data_uri(pixels, photo)
        assert key in self.sources, name
        return f'<span class="pic {key}" role="img" aria-label="{escape(about or name)}"></span>'

    def style(self) -> str:
        """The classes."""
        return "\n".join(f".{key} {{ background-image: url({uri}) }}" for key, uri in self.sources.items())


def data_uri(pixels: Array, photo: bool = False) -> str:
    """As PNG, with a palette where there are few colours; a photo, if it is large, as JPEG."""
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    if not photo and pixels.ndim == 3 and len(np.unique(pixels.reshape(-1, 3), axis=0)) <= 256:
        image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    if photo and pixels.ndim == 3 and max(pixels.shape[:2]) > 96:
        image.save(buffer, "JPEG", quality=90, subsampling=0)
        return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    image.save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def shrunk(x: Array, most: int) -> Array:
    """x [H,W,...] averaged over blocks of whole pixels, until neither side is above `most`."""
    factor = -(-max(x.shape[:2]) // most)
    if factor == 1:
        return x
    height, width = (max(side // factor, 1) for side in x.shape[:2])
    cut = x[: height * factor, : width * factor]
    return cut.reshape(height, -1, width, cut.shape[1] // width, *x.shape[2:]).mean(axis=(1, 3))


def picture(x: Array) -> Array:
    """A picture [H,W,C] in [-1, 1]."""
    return to_uint8(for_eyes(shrunk(x, MOST)))


def diverging(x: Array, middle: float, reach: float) -> Array:
    """Numbers [H,W] as colours: white at `middle`, full blue that far below, full orange that far above."""
    t = np.rint(LEVELS * np.clip((x - middle) / max(reach, 1e-30), -1, 1))[..., None] / LEVELS
    colours = np.where(t < 0, MIDDLE + (BELOW - MIDDLE) * -t, MIDDLE + (ABOVE - MIDDLE) * t)
    return colours.round().astype(np.uint8)


def difference(x: Array) -> tuple[Array, float]:
    """A signed difference [H,W,C] around gray, and how many times it is enlarged for that."""
    most = float(np.abs(x).max())
    return to_uint8(for_eyes(shrunk(x / most if most else x, MOST))), 1 / most if most else 1.0


def row(tiles: list[Array], fill: int = 0) -> Array:
    """Pictures of one size side by side, [H,W] or [H,W,3]."""
    space = np.full((tiles[0].shape[0], GAP, *tiles[0].shape[2:]), fill, np.uint8)
    joined = [part for tile in tiles for part in (space, tile)][1:]
    return np.concatenate(joined, axis=1)


def channels(x: Array, low: float, high: float) -> Array:
    """The first channels of activations [H,W,C] side by side, black at `low` and white at `high`."""
    small = shrunk(x[:, :, :TILES], TILE)
    shades = np.clip((small - low) / max(high - low, 1e-30), 0, 1)
    return row([(np.rint(LEVELS * shades[:, :, c]) * (255 / LEVELS)).astype(np.uint8) for c in range(small.shape[2])])


def filters(w: Array, reach: float) -> Array:
    """Weights [K,C,R,S] as tiles: of 1 or 3 channels each filter as it looks, else 8 by 8 kernels, blue to orange."""
    if w.shape[1] == 3:
        some = np.clip(w[: 2 * TILES] / max(reach, 1e-30), -1, 1)
        return row([to_uint8(f.transpose(1, 2, 0)) for f in some], 255)
    lines = [row([diverging(k, 0.0, reach) for k in f[:TILES]], 255) for f in w[:TILES]]
    space = np.full((GAP, *lines[0].shape[1:]), 255, np.uint8)
    return np.concatenate([part for line in lines for part in (space, line)][1:], axis=0)
