"""What a folder that we are to make may be called."""

from __future__ import annotations

from pathlib import Path

from train.errors import UserError, shown

FILES = {
    ".avif", ".bmp", ".dng", ".exr", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".jxl", ".pgm", ".png", ".ppm", ".psd",
    ".raw", ".svg", ".tga", ".tif", ".tiff", ".webp", ".avi", ".mov", ".mp4", ".webm", ".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz",
    ".xz", ".zip", ".csv", ".htm", ".html", ".json", ".md", ".pdf", ".txt", ".xlsx", ".bin", ".ckpt", ".h5", ".npy", ".npz", ".onnx",
    ".pkl", ".pt", ".pth", ".safetensors",
}  # fmt: skip
"""Endings by which people name files. Others, as in results_v1.2, are part of a folder's name."""


def names_a_folder(name: str) -> bool:
    """Whether a name can be that of a folder below another one: a run's, a data set's."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0")


def check_folder(path: Path, option: str, wanted: str = "a folder") -> None:
    """UserError if what is to become a folder is called as a file is, unless such a folder is there."""
    if path.suffix.lower() in FILES and not path.is_dir():
        raise UserError(f"{option} {shown(path)}: {path.suffix} is a kind of file; wanted {wanted}")
