"""Sound files of each kind, and mutations of them that follow from a seed."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from nn import ResnetGenerator
from tests.attack import pickles
from train.weights import formats

Make = Callable[[Path], None]
EXTREMES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    0x7FFFFFFFFFFFFFFF,
    0xFFFFFFFFFFFFFFFF,
)


def _network() -> ResnetGenerator:
    return ResnetGenerator(1, 1, ngf=1, n_blocks=1)


def _weights(path: Path) -> None:
    formats.save(path, {"gen_ab": _network()})


def _old(path: Path) -> None:
    state = OrderedDict(_network().state_dict())
    tensors = {}
    for i, (key, value) in enumerate(state.items()):
        strides = tuple(step // 4 for step in value.strides)
        tensors[key] = pickles.tensor(pickles.storage(value.size, str(i)), value.shape, strides)
    pickles.old(path, pickles.dictionary(tensors), {str(i): v.tobytes() for i, v in enumerate(state.values())})


def _picture(mode: str, **how: object) -> Make:
    def make(path: Path) -> None:
        y, x = np.mgrid[0:40, 0:48]
        rgb = np.stack([x * 5, y * 6, (x * y) % 256], axis=-1).astype(np.uint8)
        Image.fromarray(rgb).convert(mode).save(path, **how)

    return make


def _npy(path: Path) -> None:
    np.save(path, np.random.default_rng(0).uniform(-1, 1, (20, 24, 3)).astype(np.float32))


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("set/trainA/1.png", "set/trainB/2.png", "set/readme.txt"):
            archive.writestr(name, _png())


def _tar(path: Path) -> None:
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name in ("package/img/1.png", "package/img/" + "long" * 40 + ".png", "package/emoji.json"):
            info = tarfile.TarInfo(name)
            info.size = len(_png())
            archive.addfile(info, io.BytesIO(_png()))


KINDS: dict[str, tuple[str, str, Make]] = {  # kind -> the reader, the file's extension, what makes a sound one
    "pth": ("weights", ".pth", _weights),
    "old pth": ("weights", ".pth", _old),
    "safetensors": ("weights", ".safetensors", _weights),
    "npz": ("weights", ".npz", _weights),
    "png": ("picture", ".png", _picture("RGBA")),
    "palette png": ("picture", ".png", _picture("P", transparency=3)),
    "jpg": ("picture", ".jpg", _picture("RGB", progressive=True)),
    "tif": ("picture", ".tif", _picture("RGB", compression="tiff_lzw")),
    "plain tif": ("picture", ".tif", _picture("L")),
    "webp": ("picture", ".webp", _picture("RGB")),
    "bmp": ("picture", ".bmp", _picture("P")),
    "ppm": ("picture", ".ppm", _picture("RGB")),
    "npy": ("picture", ".npy", _npy),
    "zip": ("unzip", ".zip", _zip),
    "tar": ("untar", ".tgz", _tar),
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four places changed: a bit, a number, a piece cut out, doubled, or moved; within a zip's members too."""
    if data[:2] == b"PK" and rng.random() < 0.6:
        return _within(data, rng)
    if data[:2] == b"\x1f\x8b" and rng.random() < 0.6:
        return gzip.compress(mutated(gzip.decompress(data), rng), 1)
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        size = max(1, len(changed))
        near = rng.randrange(min(size, 400)) if rng.random() < 0.5 else rng.randrange(size)  # heads matter most
        match rng.randrange(6):
            case 0:
                changed[near : near + 1] = bytes(
                    [(changed[near] if near < len(changed) else 0) ^ (1 << rng.randrange(8))]
                )
            case 1:
                width = rng.choice((1, 2, 4, 8))
                number = rng.choice(EXTREMES) & ((1 << 8 * width) - 1)
                changed[near : near + width] = number.to_bytes(width, rng.choice(("little", "big")))
            case 2:
                del changed[near : near + rng.randint(1, 64)]
            case 3:
                changed[near:near] = changed[near : near + rng.randint(1, 64)]
            case 4:
                changed[near : near + 8] = rng.randbytes(rng.randint(0, 16))
            case 5 if rng.random() < 0.3:
                del changed[near:]
    return bytes(changed)


def _within(data: bytes, rng: random.Random) -> bytes:
    """A zip with one member mutated and all checksums as they should be."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    chosen = rng.randrange(len(members))
    if rng.random() < 0.5:  # the one that says what the others are
        chosen = next((i for i, (info, _) in enumerate(members) if info.filename.endswith((".pkl", ".json"))), chosen)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i, (info, content) in enumerate(members):
            archive.writestr(info.filename, mutated(content, rng) if i == chosen else content, info.compress_type)
    return file.getvalue()


def mutations(kind: str, count: int, seed: int, folder: Path) -> list[Path]:
    """Files of a kind, the first of them sound."""
    _, suffix, make = KINDS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"sound{suffix}"]
    make(files[0])
    data = files[0].read_bytes()
    for i in range(count):
        files.append(folder / f"{i}{suffix}")
        files[-1].write_bytes(mutated(data, random.Random(f"{seed} {kind} {i}")))
    return files
