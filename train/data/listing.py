"""What of a folder is a picture."""

from __future__ import annotations

from pathlib import Path

from train.files.walk import files_below

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp", ".npy"})


def list_images(folder: Path) -> tuple[list[str], str]:
    """Paths below the folder, with forward slashes, of what is an image by its name; and what to say of links, if anything."""
    found = files_below(folder)
    names = [
        file.relative_to(folder).as_posix()
        for file in found.files
        if not file.name.startswith(".") and file.suffix.lower() in EXTENSIONS
    ]
    return names, found.told()
