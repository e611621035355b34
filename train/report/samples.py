"""Sample grids: what both generators do to a few images, side by side, as one picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from train.data.opening import opened
from train.data.pixels import for_eyes, to_uint8
from train.files.atomic import write_atomically

PAPER, INK, RULE = (255, 255, 255), (40, 44, 52), (222, 225, 230)
CELL, GUTTER, MARGIN = 128, 4, 14  # pixels; a smaller image is enlarged to fill at least a cell
WIDEST = 1100  # pixels across a grid in a report


def sample_grid(rows: Sequence[Mapping[str, NDArray[np.floating]]], title: str = "") -> Image.Image:
    """A labelled grid of images.

    Each row maps its columns' labels to images `[H,W,C]` in [-1, 1] (values beyond are clipped), of more than three channels
    the first three are shown: for example
    {"real A": …, "fake B": …, "reconstructed A": …, "identity A": …}. Following rows with the same labels stand under
    one heading; rows with others begin a new block. Images under 128 px are enlarged by a whole factor, so that each
    pixel stays a crisp square; sizes may differ.
    """
    cells = [{label: _picture(image) for label, image in row.items()} for row in rows]
    side = max((max(cell.size) for row in cells for cell in row.values()), default=CELL)
    font = _font(max(13, side // 11))
    big = _font(max(15, side // 9))
    heading = round(font.size * 1.9)

    blocks: list[list[dict[str, Image.Image]]] = []  # runs of rows with the same labels
    for row in cells:
        if not blocks or list(blocks[-1][0]) != list(row):
            blocks.append([])
        blocks[-1].append(row)
    widths = [[max(row[label].width for row in block) for label in block[0]] for block in blocks]
    width = max((sum(w) + GUTTER * (len(w) - 1) for w in widths), default=CELL)
    height = sum(heading + sum(max(i.height for i in row.values()) + GUTTER for row in block) for block in blocks)
    top = MARGIN + (round(big.size * 1.5) if title else 0)
    gap = MARGIN if len(blocks) > 1 else 0  # the rule between two blocks
    canvas = Image.new("RGB", (width + 2 * MARGIN, top + height + gap * (len(blocks) - 1) + MARGIN), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), title, INK, big)

    y = top
    for number, block in enumerate(blocks):
        if number:
            y += gap
            draw.line([(MARGIN, y - gap // 2), (MARGIN + width - 1, y - gap // 2)], RULE)
        lefts = [MARGIN + sum(widths[number][:i]) + GUTTER * i for i in range(len(widths[number]))]
        for label, left, column in zip(block[0], lefts, widths[number], strict=True):
            draw.text((left + column / 2, y + heading / 2), label, INK, _fitting(font, label, column), anchor="mm")
        y += heading
        for row in block:
            for image, left in zip(row.values(), lefts, strict=True):
                canvas.paste(image, (left, y))
            y += max(image.height for image in row.values()) + GUTTER
    return canvas


def save_png(path: str | Path, image: Image.Image) -> None:
    """Write a PNG atomically. Raises `UserError` if the disk refuses."""
    write_atomically(path, lambda file: image.save(file, "PNG"))


def embedded(path: Path, about: str) -> str:
    """A PNG as an `<img>` that holds it, at most WIDEST pixels across; `about` for those who cannot see it."""
    with opened(path) as file:
        image = file.convert("RGB")
    if image.width > WIDEST:
        image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.LANCZOS)
    jpeg, png = io.BytesIO(), io.BytesIO()
    image.save(jpeg, "JPEG", quality=88, subsampling=0)
    image.save(png, "PNG")
    kind, data = min(("jpeg", jpeg.getvalue()), ("png", png.getvalue()), key=lambda pair: len(pair[1]))
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" width="{image.width}" height="{image.height}" alt="{escape(about)}">'


def _picture(image: NDArray[np.floating]) -> Image.Image:
    pixels = to_uint8(np.nan_to_num(for_eyes(image), nan=-1.0))  # [H,W,3]; a NaN shows as black
    height, width = pixels.shape[:2]
    factor = max(1, -(-CELL // max(height, width)))  # rounded up
    return Image.fromarray(pixels).resize((width * factor, height * factor), Image.Resampling.NEAREST)


def _fitting(font: ImageFont.FreeTypeFont, text: str, width: int) -> ImageFont.FreeTypeFont:
    """The font, or a smaller one, in which `text` is at most `width` pixels wide."""
    wide = font.getlength(text)
    return font if wide <= width else font.font_variant(size=int(font.size * width / wide))


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font
