"""The three pictures at the top of the README, 480x320 pixels: `python -m tests.doors PAGE` makes them anew.

PAGE is what `python -m lessons 0 --output PAGE` wrote; the others are cut out of docs/scaling.png and docs/scenes.png.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import Browser

DOCS = Path(__file__).parents[1] / "docs"
SIZE = (480, 320)
CURVES = (0, 0, 570, 436)  # the first panel of docs/scaling.png: seconds of a step over the picture's size
CANVAS = "document.querySelectorAll('canvas.plane')[%d].toDataURL('image/png')"


def planes(page: Path) -> Image.Image:
    """The two planes of the first lesson, side by side."""
    with tempfile.TemporaryDirectory() as folder, Browser(Path(folder)) as browser:
        browser.open(page.resolve().as_uri())
        drawn = [browser.run(CANVAS % i).partition(",")[2] for i in (0, 1)]
    return beside([Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in drawn])


def scenes() -> Image.Image:
    """A horse and its zebra, a zebra and its horse, out of a sample grid."""
    with Image.open(DOCS / "scenes.png") as grid:
        rows = [beside([grid.crop((x, y, x + 128, y + 128)) for x in (14, 146)]) for y in (193, 628)]
        both = Image.new("RGB", (rows[0].width, 2 * 128 + 8), "white")
        for i, row in enumerate(rows):
            both.paste(row, (0, i * 136))
    return both.resize((both.width * 320 // both.height, 320), Image.Resampling.LANCZOS)


def beside(pictures: list[Image.Image]) -> Image.Image:
    """Side by side, 8 pixels apart."""
    width, height = pictures[0].size
    both = Image.new("RGB", (2 * width + 8, height), "white")
    for i, picture in enumerate(pictures):
        both.paste(picture, (i * (width + 8), 0))
    return both


def save(name: str, picture: Image.Image) -> None:
    """On white, in the middle, as large as it may be."""
    picture.thumbnail(SIZE, Image.Resampling.LANCZOS)
    door = Image.new("RGB", SIZE, "white")
    door.paste(picture, ((SIZE[0] - picture.width) // 2, (SIZE[1] - picture.height) // 2))
    door.save(DOCS / f"door_{name}.png", optimize=True)


if __name__ == "__main__":
    save("lessons", planes(Path(sys.argv[1])))
    with Image.open(DOCS / "scaling.png") as curves:
        save("kernels", curves.crop(CURVES).convert("RGB"))
    save("pictures", scenes())
