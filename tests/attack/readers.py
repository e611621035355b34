"""What is attacked: functions from a file to something sound, or a UserError. Each does all that a command does with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from train.cyclegan import CycleGAN
from train.data.images import decode, inspect, load_picture
from train.data.listing import EXTENSIONS
from train.evaluation.subject import from_run
from train.inference.server import Server, both_ways, give_back
from train.prepare.unpack import read_tar, unzip
from train.run.start import resume_run
from train.weights import formats


def weights(path: Path) -> None:
    """As `python -m train.convert` reads networks: recognised, built, loaded."""
    networks = [found.network() for found in formats.load(path).values()]
    for network in networks:
        for value in network.state_dict().values():
            assert isinstance(value, np.ndarray) and value.dtype == np.float32


def resume(path: Path) -> None:
    """As `--continue_train` takes up the run whose latest.npz this is, up to its first step."""
    folder = path.parent
    run = resume_run(CycleGAN, {"name": folder.name, "checkpoints_dir": str(folder.parent), "device": "cpu"})
    assert 0 <= run.position <= run.step < run.total
    next(run.loader.iterate(run.epoch, run.position), None)


def evaluate(path: Path) -> None:
    """As `python -m train.evaluate` loads it."""
    from_run(path.parent.name, path.parent.parent, "latest", {"device": "cpu"})


def picture(path: Path) -> None:
    """As data folders, `translate` and `prepare` read one."""
    header = inspect(path)
    decode(path)
    channels = header.channels or 3
    x = load_picture(path, channels).pixels
    assert x.shape[2] == channels and x.dtype == np.float32 and abs(x).max() <= 1
    if header.mode != "F":  # a size that is turned, or told otherwise than it is, is no harm
        assert set(x.shape[:2]) == {header.height, header.width}


def upload(path: Path) -> None:
    """As the page of `--serve` answers to one, with the generator in w.npz beside it."""
    generator = path.with_name("w.npz")
    with Server(both_ways(generator, "", "cpu"), 0, 512, "x") as server:
        assert server.answer(path.read_bytes(), "AtoB")["translation"].startswith("data:image/png")
    give_back()


def unzipped(path: Path) -> None:
    """As `python -m train.prepare` unpacks a set of the paper."""
    with tempfile.TemporaryDirectory() as folder:
        unzip(path, Path(folder) / "set")
        for file in (Path(folder) / "set").rglob("*"):
            assert not file.is_symlink() and file.suffix in ("", *EXTENSIONS)


def untarred(path: Path) -> None:
    """As it reads the packages of emoji."""
    for name, content in read_tar(path, lambda name: name.startswith("package/")):
        assert name.startswith("package/") and isinstance(content, bytes)


READERS: dict[str, Callable[[Path], None]] = {
    "weights": weights, "resume": resume, "evaluate": evaluate, "picture": picture, "upload": upload,
    "unzip": unzipped, "untar": untarred, "crash": lambda path: os.abort(),
}  # fmt: skip
