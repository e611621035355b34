"""Pickles put together opcode by opcode, and the two kinds of `.pth` around them."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

from train.weights.torch_files import MAGIC

P = pickle


def word(text: str) -> bytes:
    return P.BINUNICODE + struct.pack("<i", len(text.encode())) + text.encode()


def number(n: int) -> bytes:
    size = n.bit_length() // 8 + 1
    return P.LONG1 + bytes([size]) + n.to_bytes(size, "little", signed=True)


def several(*programs: bytes) -> bytes:
    """A tuple."""
    return P.MARK + b"".join(programs) + P.TUPLE


def numbers(*values: int) -> bytes:
    return several(*map(number, values))


def called(name: str, *arguments: bytes) -> bytes:
    module, _, last = name.rpartition(".")
    return P.GLOBAL + f"{module}\n{last}\n".encode() + several(*arguments) + P.REDUCE


def dictionary(items: Mapping[str, bytes]) -> bytes:
    return P.EMPTY_DICT + P.MARK + b"".join(word(key) + value for key, value in items.items()) + P.SETITEMS


def storage(count: int, key: str = "0", kind: str = "torch.FloatStorage") -> bytes:
    """A persistent reference; P.BINPERSID makes the storage."""
    module, _, last = kind.rpartition(".")
    name = P.GLOBAL + f"{module}\n{last}\n".encode()
    return several(word("storage"), name, word(key), word("cpu"), number(count)) + P.BINPERSID


def tensor(reference: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> bytes:
    return called(
        "torch._utils._rebuild_tensor_v2", reference, number(offset), numbers(*shape), numbers(*strides),
        P.NEWFALSE, called("collections.OrderedDict"),
    )  # fmt: skip


def built(made: bytes, state: Mapping[str, bytes]) -> bytes:
    """What BUILD makes of it: these attributes set, in a machine that obeys."""
    return made + dictionary(state) + P.BUILD


def built_slots(made: bytes, state: Mapping[str, bytes]) -> bytes:
    """The same by setattr, which BUILD does with the second of two states."""
    return made + several(P.NONE, dictionary(state)) + P.BUILD


def zipped(path: Path, program: bytes, storages: Mapping[str, bytes]) -> Path:
    """A `.pth` as PyTorch has written it since 1.6."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", P.PROTO + b"\2" + program + P.STOP)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
    return path


def old(path: Path, program: bytes, storages: Mapping[str, bytes], width: int = 4) -> Path:
    """A `.pth` as PyTorch wrote it before."""
    heads = [pickle.dumps(MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps({"little_endian": True}, 2)]
    tail = [struct.pack("<q", len(data) // width) + data for data in storages.values()]
    body = P.PROTO + b"\2" + program + P.STOP
    path.write_bytes(b"".join([*heads, body, pickle.dumps(list(storages), 2), *tail]))
    return path
