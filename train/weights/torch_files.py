"""PyTorch's weight files (`.pth`), read and written without PyTorch, and without trusting them.

A `.pth` is a pickle: a little program that builds Python objects, and which may call anything when it is simply loaded. The
reader here (train/weights/unpickle.py) knows a dozen harmless names, tensors of numbers and an ordered dict, and refuses a file
at the first other one, so a stranger's file can run nothing; and what it builds is bounded by what the file holds. Numbers lie beside the pickle, which refers to them:

    zip, since PyTorch 1.6     NAME/data.pkl, and NAME/data/KEY: the raw numbers of one storage
    before                     pickles one after the other (magic number, version, machine, *the object*, keys), then for
                               each key a count (int64) and the raw numbers

Devices are forgotten: everything becomes a NumPy array. bfloat16, which NumPy lacks, becomes float32.
"""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np

from train.errors import UserError, shown
from train.files.atomic import write_atomically
from train.files.bounded import MOST_TEXT, open_file, read_json, stored_zip
from train.weights.unpickle import Machine, Refused

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file from before the zip format
ABOUT = "palindrome.json"  # our own member of the zip, which PyTorch passes over
DTYPES = {
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "BFloat16": "bf16", "Long": "<i8", "Int": "<i4", "Short": "<i2",
    "Char": "<i1", "Byte": "<u1", "Bool": "<?",
}  # fmt: skip
STORAGES = {f"{where}.{name}Storage": dtype for where in ("torch", "torch.cuda") for name, dtype in DTYPES.items()}
MOST_DEPTH = 32  # of containers in containers
MOST_VALUES = 50_000  # in the tree, each counted as often as it is found there
MOST_SHARING = 2  # bytes of all tensors together, for each byte stored: two networks may share their weights


class Storage:
    """One block of numbers, of which tensors are views. Its array comes with the pickle (zip) or after it (older)."""

    def __init__(self, dtype: str, count: int) -> None:
        if count < 0:
            raise ValueError(f"a storage of {count} numbers")
        self.dtype, self.count = dtype, count
        self.array: np.ndarray | None = None

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self.count * (2 if self.dtype == "bf16" else np.dtype(self.dtype).itemsize)

    def fill(self, data: bytes, order: Literal["<", ">"] = "<") -> None:
        """Take the numbers from raw bytes; `order` "<" is little-endian, ">" big."""
        if len(data) != self.size:
            raise ValueError(f"a storage of {self.count} numbers has {len(data)} bytes, wanted {self.size}")
        if self.dtype == "bf16":  # the upper half of a float32
            self.array = (np.frombuffer(data, f"{order}u2").astype(np.uint32) << 16).view(np.float32)
        elif self.dtype == "<?":
            self.array = np.frombuffer(data, np.uint8) != 0
        else:
            stored = np.dtype(self.dtype).newbyteorder(order)
            self.array = np.frombuffer(data, stored).astype(stored.newbyteorder("="), copy=False)


class View(NamedTuple):
    """A tensor whose storage may not have been read yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """The numbers, read-only and not copied. ValueError for a view that is not all within its storage."""
        base, numbers = self.storage.array, (self.offset, *self.shape[:64], *self.strides[:64])
        if base is None or any(type(n) is not int or n < 0 for n in numbers) or len(self.shape) != len(self.strides):
            raise ValueError("a tensor that is not made of a storage, sizes and strides")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        size = math.prod(self.shape)
        if size and (last >= base.size or size > base.size):
            raise ValueError(f"a tensor {self.shape} reaches beyond its {base.size} stored numbers")
        if not size:
            return np.empty(self.shape, base.dtype)
        steps = tuple(step * base.itemsize for step in self.strides)
        return np.ndarray(self.shape, base.dtype, base, self.offset * base.itemsize, steps)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> View:
    if type(storage) is not Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise ValueError("a tensor that is not made of a storage, sizes and strides")
    return View(storage, offset, shape, strides)


def _parameter(data: Any, *rest: Any) -> Any:
    return data


def _size(sides: Any) -> Any:
    return sides


CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
}


class _Storages(dict[str, Storage]):
    """The storages that a pickle refers to, by key."""

    def __call__(self, reference: Any) -> Storage:
        kind, dtype, key, _, count, *view = reference
        if kind != "storage" or dtype not in DTYPES.values() or type(count) is not int or any(view):
            raise ValueError(f"an unknown reference of {len(reference)} parts")
        if str(key) not in self:
            self[str(key)] = Storage(dtype, count)
        return self[str(key)]


def read(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """What a `.pth` holds, with NumPy arrays for tensors, and what a file of our own says of itself (else {}).

    UserError if the file is missing, damaged, of an unknown kind, holds more than plain containers and tensors, or claims
    to hold more numbers than are in it. Arrays are read-only views of the file's bytes.
    """
    path = Path(path)
    name = shown(path)
    try:
        with open_file(path) as file:
            start = file.read(2)
            file.seek(0)
            if start == b"PK":
                return _read_zip(name, file)
            if start[:1] == b"\x80":
                return _read_old(file), {}
    except (UserError, MemoryError):
        raise
    except FileNotFoundError:
        raise UserError(f"{name}: there is no such file") from None
    except Refused as error:
        raise UserError(
            f"{name}: holds a {shown(error, 300)}, which is not weights; reading it could run a stranger's code, so it is refused. "
            "Where the network was trained, save its weights alone: torch.save(network.state_dict(), file)"
        ) from error
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # damaged pickles and zips raise anything
        raise UserError(
            f"{name}: damaged, or not PyTorch's ({type(error).__name__}: {shown(error, 300)}); copy it again"
        ) from error
    raise UserError(f"{name}: not a PyTorch file: it is neither a zip nor a pickle (is it complete, or a web page?)")


def _read_zip(name: str, file: BinaryIO) -> tuple[Any, dict[str, Any]]:
    names = zipfile.ZipFile(file).namelist()
    inside = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
    if inside and any(name.endswith("/constants.pkl") for name in names):
        raise UserError(
            f"{name}: TorchScript, a network with its program (torch.jit.save), which is not run here; where PyTorch is, take its "
            f"weights out: torch.save(torch.jit.load({name!r}).state_dict(), 'weights.pth')"
        )
    with stored_zip(file) as archive:
        if not inside:
            raise UserError(
                f"{name}: a zip, but not a PyTorch file; wanted a state_dict: torch.save(network.state_dict(), file)"
            )
        top = inside[0]
        big = top + "byteorder" in names and archive.read(top + "byteorder") == b"big"
        storages = _Storages()
        with archive.open(top + "data.pkl") as program:
            tree = Machine(program.read(MOST_TEXT), CALLS, STORAGES, storages).load()
        for key, storage in storages.items():
            storage.fill(archive.read(f"{top}data/{key}"), ">" if big else "<")
        about = read_json(archive.read(top + ABOUT)) if top + ABOUT in names else {}
        return _Arrays(storages).of(tree), about


def _read_old(file: BinaryIO) -> Any:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    storages = _Storages()
    machine = Machine(file.read(MOST_TEXT), CALLS, STORAGES, storages)
    if machine.load() != MAGIC:
        raise ValueError("it does not start with PyTorch's magic number")
    version, about = machine.load(), machine.load()
    if version != 1001:
        raise ValueError(f"version {version}, wanted 1001")
    order: Literal["<", ">"] = "<" if about.get("little_endian", True) else ">"
    tree, keys = machine.load(), machine.load()
    file.seek(machine.program.tell())
    for key in keys:
        (count,) = struct.unpack(f"{order}q", file.read(8))
        storage = storages[key]
        if count != storage.count or storage.array is not None or storage.size > size - file.tell():
            raise ValueError(f"storage {key} has {count} numbers, wanted {storage.count}, once, within the file")
        storage.fill(file.read(storage.size), order)
    return _Arrays(storages).of(tree)


class _Arrays:
    """Trees with arrays for tensors. What a pickle shares is in the tree as often as it is referred to, so this is bounded."""

    def __init__(self, storages: Mapping[str, Storage]) -> None:
        stored = sum(storage.array.nbytes for storage in storages.values() if storage.array is not None)
        self.values, self.room = MOST_VALUES, MOST_SHARING * stored

    def of(self, tree: Any, depth: int = MOST_DEPTH) -> Any:
        self.values -= 1
        if self.values < 0 or depth < 0:
            raise ValueError(f"more than {MOST_VALUES:,} values, or deeper than {MOST_DEPTH}; wanted a state_dict")
        if type(tree) is View:
            array = tree.array()
            self.room -= array.nbytes
            if self.room < 0:
                raise ValueError(f"tensors that are together more than {MOST_SHARING} times what the file stores")
            return array
        if type(tree) is dict:
            return {key: self.of(value, depth - 1) for key, value in tree.items()}
        if type(tree) in (list, tuple):
            return [self.of(value, depth - 1) for value in tree]
        return tree


def write(path: str | Path, state: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """A state_dict of float32 as a zip that `torch.load(path, weights_only=True)` gives back as an ordered dict.

    `about` goes into a member of its own, which PyTorch does not look at.
    """
    arrays = {key: np.asarray(value, "<f4", order="C") for key, value in state.items()}

    def fill(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("archive/data.pkl", _pickled(arrays))
            archive.writestr("archive/byteorder", "little")
            archive.writestr(f"archive/{ABOUT}", json.dumps(about))
            for i, array in enumerate(arrays.values()):
                archive.writestr(f"archive/data/{i}", array.tobytes())
            archive.writestr("archive/version", "3\n")

    write_atomically(path, fill, size=sum(array.nbytes for array in arrays.values()))


def _pickled(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The program that builds the dict. Written by hand, because Python's pickler would want to import torch."""

    def text(s: str) -> bytes:
        return pickle.BINUNICODE + struct.pack("<i", len(s.encode())) + s.encode()

    def number(n: int) -> bytes:
        return pickle.BININT + struct.pack("<i", n)

    def tuple_of(*numbers: int) -> bytes:
        return pickle.MARK + b"".join(map(number, numbers)) + pickle.TUPLE

    empty_dict = pickle.GLOBAL + b"collections\nOrderedDict\n" + pickle.EMPTY_TUPLE + pickle.REDUCE
    program = bytearray(pickle.PROTO + b"\2" + empty_dict + pickle.MARK)
    for i, (key, array) in enumerate(arrays.items()):
        program += text(key) + pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n" + pickle.MARK
        program += pickle.MARK + text("storage") + pickle.GLOBAL + b"torch\nFloatStorage\n" + text(str(i)) + text("cpu")
        program += number(array.size) + pickle.TUPLE + pickle.BINPERSID
        program += number(0) + tuple_of(*array.shape)
        program += tuple_of(*(step // array.itemsize for step in array.strides))
        program += pickle.NEWFALSE + empty_dict + pickle.TUPLE + pickle.REDUCE
    return bytes(program + pickle.SETITEMS + pickle.STOP)
