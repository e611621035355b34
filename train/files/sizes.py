"""Sizes of files and of memory for people."""

from __future__ import annotations


def size_text(size: int) -> str:
    """Bytes for people, as in "3.4 GB"."""
    unit = next((u for u in ((1e9, "GB", 1), (1e6, "MB", 0)) if size >= u[0]), (1e3, "kB", 0))
    return f"{size / unit[0]:.{unit[2]}f} {unit[1]}"
