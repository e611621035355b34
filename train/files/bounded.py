"""Zips and arrays from strangers: what they claim is compared with what is there before memory is taken.

A few bytes can claim to be gigabytes: compressed, by an array's shape, or by naming the same bytes again and again. Files of
weights are not compressed, so all that they hold together is at most as large as the file.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import stat
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MOST_TEXT = 4 << 20  # bytes of JSON in a file of weights or a checkpoint; those of a long run have 0.1 MB


def open_file(path: str | Path) -> BinaryIO:
    """A file opened for reading. OSError for what is none: a pipe would be waited for, a device may never end."""
    wait_for_nobody = getattr(os, "O_NONBLOCK", 0)
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | wait_for_nobody))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, and no file", str(path))
    return file


def stored_zip(file: BinaryIO) -> zipfile.ZipFile:
    """An open zip whose members, uncompressed and each under a name of its own, are together no larger than the file.

    Raises ValueError that says what is wrong, or whatever zipfile raises for a damaged one.
    """
    size = file.seek(0, io.SEEK_END)
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED for info in members):
        raise ValueError(
            "a compressed zip, where weights are kept uncompressed; unpack it and pack it without compression"
        )
    if len({info.filename for info in members}) < len(members):
        raise ValueError("a zip that holds one name twice")
    if any(info.file_size != info.compress_size for info in members) or sum(i.file_size for i in members) > size:
        raise ValueError(f"a zip whose members claim to be larger than its {size:,} bytes")
    return archive


def check_text(size: int) -> None:
    """ValueError for more bytes of JSON than a file of weights or a checkpoint has use for."""
    if size > MOST_TEXT:
        raise ValueError(f"{size:,} bytes of JSON; wanted at most {MOST_TEXT:,}")


def read_json(data: bytes) -> Any:
    """What JSON says; ValueError where it is too long or too deep."""
    check_text(len(data))
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None


def npy_head(file: BinaryIO, size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and dtype of the array in a `.npy` of `size` bytes, of which the head is read.

    ValueError unless it is an array of numbers, exactly as many as its shape asks for.
    """
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"a .npy of version {version}")
    try:
        shape, columns_first, dtype = readers[version](file)
    except (MemoryError, RecursionError):  # Python's parser gives up on brackets in brackets in brackets
        raise ValueError("its head is nested too deep") from None
    if dtype.kind not in "biuf":
        raise ValueError(f"an array of {dtype}; wanted numbers (Python objects are not read: allow_pickle=False)")
    there, wanted = size - file.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or there != wanted:
        raise ValueError(f"an array {shape} of {dtype} has {there:,} bytes, wanted {wanted:,}")
    return shape, columns_first, dtype


def read_npy(data: bytes) -> np.ndarray:
    """The array in the bytes of a `.npy`, read-only. ValueError as above."""
    file = io.BytesIO(data)
    shape, columns_first, dtype = npy_head(file, len(data))
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if columns_first else "C")
