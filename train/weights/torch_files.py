"""PyTorch's weight files (`.pth`), read and written without PyTorch, and without trusting them.

A `.pth` is a pickle: a little program that builds Python objects, and which may call anything when it is simply loaded. The
reader here knows a dozen harmless names (tensors of numbers, an ordered dict) and refuses a file at the first other one, so
a stranger's file can run nothing. Numbers lie beside the pickle, which refers to them:

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
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from train.errors import UserError
from train.files.atomic import write_atomically

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file from before the zip format
ABOUT = "palindrome.json"  # our own member of the zip, which PyTorch passes over
DTYPES = {
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "BFloat16": "bf16", "Long": "<i8", "Int": "<i4", "Short": "<i2",
    "Char": "<i1", "Byte": "<u1", "Bool": "<?",
}  # fmt: skip


class Storage:
    """One block of numbers, of which tensors are views. Its array comes with the pickle (zip) or after it (older)."""

    def __init__(self, dtype: str, count: int) -> None:
        self.dtype, self.count = dtype, count
        self.array: np.ndarray | None = None

    @property
    def width(self) -> int:
        """Bytes of one number."""
        return 2 if self.dtype == "bf16" else np.dtype(self.dtype).itemsize

    def fill(self, data: bytes, order: Literal["<", ">"] = "<") -> None:
        """Take the numbers from raw bytes; `order` "<" is little-endian, ">" big."""
        if len(data) != self.count * self.width:
            raise ValueError(
                f"a storage of {self.count} numbers has {len(data)} bytes, wanted {self.count * self.width}"
            )
        if self.dtype == "bf16":  # the upper half of a float32
            self.array = (np.frombuffer(data, f"{order}u2").astype(np.uint32) << 16).view(np.float32)
        else:
            stored = np.dtype(self.dtype).newbyteorder(order)
            self.array = np.frombuffer(data, stored).astype(stored.newbyteorder("="), copy=False)


class Lazy:
    """A tensor whose storage may not have been read yet."""

    def __init__(self, storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, Storage) or not all(type(n) is int and n >= 0 for n in numbers):
            raise pickle.UnpicklingError("a tensor that is not made of a storage, sizes and strides")
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        size = math.prod(shape)
        if size and (last >= storage.count or size > storage.count):  # a view beyond it would read foreign memory
            raise pickle.UnpicklingError(f"a tensor {shape} reaches beyond its {storage.count} stored numbers")
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> np.ndarray:
        base = self.storage.array
        assert base is not None
        steps = tuple(step * base.itemsize for step in self.strides)
        return np.lib.stride_tricks.as_strided(base[self.offset :], self.shape, steps).copy()


def _tensor(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *rest: Any) -> Lazy:
    return Lazy(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Any, *rest: Any) -> Any:
    return data


KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): tuple,
    **{("torch", f"{name}Storage"): dtype for name, dtype in DTYPES.items()},
    **{("torch.cuda", f"{name}Storage"): dtype for name, dtype in DTYPES.items()},
}


class _Reader(pickle.Unpickler):
    """An unpickler that knows the names above, and no others."""

    def __init__(self, file: BinaryIO, storage: Callable[[str, str, int], Storage]) -> None:
        super().__init__(file, encoding="latin1")
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        try:
            return KNOWN[module, name]
        except KeyError:
            raise Refused(f"{module}.{name}") from None

    def persistent_load(self, reference: Any) -> Storage:
        kind, dtype, key, _, count, *view = reference
        if kind != "storage" or dtype not in DTYPES.values() or type(count) is not int or any(view):
            raise pickle.UnpicklingError(f"an unknown reference {reference!r}")
        return self.storage(str(key), dtype, count)


class Refused(Exception):
    """The name of something that a weight file has no need of."""


def read(path: str | Path) -> tuple[Any, dict[str, Any]]:
    """What a `.pth` holds, with NumPy arrays for tensors, and what a file of our own says of itself (else {}).

    UserError if the file is missing, damaged, of an unknown kind, or holds more than plain containers and tensors.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(2)
            file.seek(0)
            if start == b"PK":
                return _read_zip(path, file)
            if start[:1] == b"\x80":
                return _arrays(_read_old(file)), {}
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except Refused as error:
        raise UserError(
            f"{path}: holds a {error}, which is not weights; reading it could run a stranger's code, so it is refused. "
            "Where the network was trained, save its weights alone: torch.save(network.state_dict(), file)"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # damaged pickles and zips raise anything
        raise UserError(
            f"{path}: damaged, or not PyTorch's ({type(error).__name__}: {error}); copy it again"
        ) from error
    raise UserError(f"{path}: not a PyTorch file: it is neither a zip nor a pickle (is it complete, or a web page?)")


def _read_zip(path: Path, file: BinaryIO) -> tuple[Any, dict[str, Any]]:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise UserError(f"{path}: a compressed zip; PyTorch's files are not compressed. Unpack it first")
        inside = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
        if not inside or any(name.endswith("/constants.pkl") for name in names):
            kind = "TorchScript" if inside else "a zip, but not a PyTorch file"
            raise UserError(f"{path}: {kind}; wanted a state_dict: torch.save(network.state_dict(), file)")
        top = inside[0]
        big = top + "byteorder" in names and archive.read(top + "byteorder") == b"big"
        found: dict[str, Storage] = {}

        def storage(key: str, dtype: str, count: int) -> Storage:
            if key not in found:
                found[key] = Storage(dtype, count)
                found[key].fill(archive.read(f"{top}data/{key}"), ">" if big else "<")
            return found[key]

        tree = _Reader(io.BytesIO(archive.read(top + "data.pkl")), storage).load()
        about = json.loads(archive.read(top + ABOUT)) if top + ABOUT in names else {}
        return _arrays(tree), about


def _read_old(file: BinaryIO) -> Any:
    found: dict[str, Storage] = {}

    def none(*reference: Any) -> Storage:
        raise pickle.UnpicklingError("a storage before the object")

    def storage(key: str, dtype: str, count: int) -> Storage:
        return found.setdefault(key, Storage(dtype, count))

    if _Reader(file, none).load() != MAGIC:
        raise ValueError("it does not start with PyTorch's magic number")
    version, machine = _Reader(file, none).load(), _Reader(file, none).load()
    if version != 1001:
        raise ValueError(f"version {version}, wanted 1001")
    order: Literal["<", ">"] = "<" if machine.get("little_endian", True) else ">"
    tree = _Reader(file, storage).load()
    for key in _Reader(file, none).load():
        (count,) = struct.unpack(f"{order}q", file.read(8))
        if count != found[key].count:
            raise ValueError(f"storage {key} has {count} numbers, wanted {found[key].count}")
        found[key].fill(file.read(count * found[key].width), order)
    return tree


def _arrays(tree: Any) -> Any:
    """The tree with arrays for tensors."""
    if isinstance(tree, Lazy):
        return tree.array()
    if isinstance(tree, dict):
        return {key: _arrays(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_arrays(value) for value in tree]
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
    program = pickle.PROTO + b"\2" + empty_dict + pickle.MARK
    for i, (key, array) in enumerate(arrays.items()):
        program += text(key) + pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n" + pickle.MARK
        program += pickle.MARK + text("storage") + pickle.GLOBAL + b"torch\nFloatStorage\n" + text(str(i)) + text("cpu")
        program += number(array.size) + pickle.TUPLE + pickle.BINPERSID
        program += number(0) + tuple_of(*array.shape)
        program += tuple_of(*(step // array.itemsize for step in array.strides))
        program += pickle.NEWFALSE + empty_dict + pickle.TUPLE + pickle.REDUCE
    return program + pickle.SETITEMS + pickle.STOP
