"""Checkpoints made to fill memory or never to end, and well-formed ones that mean nonsense: each is refused in one line."""

from __future__ import annotations

import copy
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.attack.measure import CLEAR, Result, measured
from train.cyclegan import CycleGAN
from train.files import checkpoint
from train.run.start import new_run

pytestmark = pytest.mark.skipif(not CLEAR.exists(), reason="memory is read from /proc")
SECONDS, BYTES = 1.0, 200 << 20  # and twice the file


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def claiming(shape: str, dtype: str = "<f4") -> bytes:
    """A .npy of 100 numbers that says it has another shape."""
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(400)


def packed(path: Path, tree: Any, arrays: dict[str, bytes], method: int = zipfile.ZIP_STORED, twice: str = "") -> Path:
    manifest = tree if isinstance(tree, str) else json.dumps({"format": checkpoint.FORMAT, "version": 2, "tree": tree})
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(checkpoint.MANIFEST, manifest)
        for name, data in arrays.items():
            archive.writestr(name, data)
        if twice:
            archive.writestr(twice, arrays[twice])
    return path


def named(name: str) -> dict[str, str]:
    return {checkpoint.ARRAY: name}


def networks(arrays: dict[str, Any]) -> dict[str, Any]:
    return {"networks": {"gen_ab": arrays}}


ONE = networks({"w": named("w")})
CLAIMS = {
    "huge": claiming("(1 << 40,)"), "shape": claiming("(1099511627776,)"), "negative": claiming("(-1, -100)"), "wraps": claiming("(4294967296, 4294967296)"),
    "empty and huge": claiming("(0, 1180591620717411303424)"), "void": claiming("(1099511627776,)", "|V0"), "text": claiming("(1099511627776,)", "<U0"),
    "objects": claiming("(100,)", "|O"), "deep head": claiming("(" * 3000 + ")" * 3000), "long head": claiming("1" * 60000),
}  # fmt: skip


def bombs(folder: Path) -> list[Path]:
    """Files that claim more than they hold."""
    zeros = npy(np.zeros((4, 1, 500, 20_000), "f4"))  # 160 MB, of which 160 kB stay
    small = npy(np.zeros((1, 1, 1, 1), "f4"))
    keys = ["model.1", "model.4", "model.7", "model.19", "model.22", "model.26"]
    keys += [f"model.{10 + i}.conv_block.{j}" for i in range(9) for j in (1, 5)]
    wide = {f"{key}.weight": named(key) for key in keys}
    files = [
        packed(folder / "deflated.npz", ONE, {"w.npy": zeros}, zipfile.ZIP_DEFLATED),
        packed(folder / "bzip2.npz", ONE, {"w.npy": zeros[: 1 << 20]}, zipfile.ZIP_BZIP2),
        packed(folder / "shared.npz", networks({str(i): named("w") for i in range(3000)}), {"w.npy": npy(np.zeros(10**5))}),
        packed(folder / "deep.npz", '{"format": "palindrome-checkpoint", "version": 2, "tree": ' + "[" * 100_000 + "]" * 100_000 + "}", {}),
        packed(folder / "wide.npz", json.dumps({"format": checkpoint.FORMAT, "version": 2, "tree": [[]] * 2_000_000}), {}),
        packed(folder / "digits.npz", '{"format": "palindrome-checkpoint", "version": ' + "9" * 1_000_000 + "}", {}),
        packed(folder / "channels.npz", networks(wide), {f"{key}.npy": npy(np.zeros((1500, 1, 7, 7), "f4")) if key == "model.1" else small for key in keys}),
        blocks(folder / "blocks.npz"),
    ]  # fmt: skip
    files += [packed(folder / f"claims {name}.npz", ONE, {"w.npy": data}) for name, data in CLAIMS.items()]
    with pytest.warns(UserWarning, match="Duplicate"):
        files.append(packed(folder / "twice.npz", ONE, {"w.npy": small}, twice="w.npy"))
    return [*files, overlapping(folder / "overlapping.npz")]


def blocks(path: Path) -> Path:
    """A generator of 2,500 blocks of one channel: all weights are there."""
    outer = {
        1: (1, 1, 7, 7),
        4: (2, 1, 3, 3),
        7: (4, 2, 3, 3),
        2510: (4, 2, 3, 3),
        2513: (2, 1, 3, 3),
        2517: (1, 1, 7, 7),
    }
    state = {f"model.{i}.weight": np.zeros(shape, "f4") for i, shape in outer.items()}
    inner = [f"model.{10 + i}.conv_block.{j}.weight" for i in range(2500) for j in (1, 5)]
    checkpoint.save(path, networks(state | {key: np.zeros((4, 4, 3, 3), "f4") for key in inner}))
    return path


def overlapping(path: Path) -> Path:
    """A zip whose directory names one member's bytes 3,000 times."""
    with zipfile.ZipFile(path, "w") as archive:
        tree = networks({str(i): named(str(i)) for i in range(3000)})
        manifest = json.dumps({"format": checkpoint.FORMAT, "version": 2, "tree": tree})
        archive.writestr(checkpoint.MANIFEST, manifest)
        archive.writestr("0.npy", npy(np.zeros(10**5)))
        first = archive.getinfo("0.npy")
        for i in range(1, 3000):
            other = copy.copy(first)
            other.filename = f"{i}.npy"
            archive.filelist.append(other)
    return path


def check(result: Result, file: Path) -> None:
    assert result.outcome == "refused", f"{file.name}: {result.said}"
    assert file.name in result.said and len(result.said) < 900, result.said
    assert result.seconds < SECONDS, f"{file.name}: {result.seconds:.1f} s"
    assert result.peak < 2 * file.stat().st_size + BYTES, f"{file.name}: {result.peak / 1e6:.0f} MB"


def test_bombs_are_refused_at_once(tmp_path: Path) -> None:
    files = bombs(tmp_path)
    for file, result in zip(files, measured("weights", files), strict=True):
        check(result, file)


TINY = dict(ngf=1, ndf=1, n_blocks=1, crop_size=24, load_size=24, pool_size=2, device="cpu", num_threads=0, max_steps=9)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state of a run after three steps, as it is saved."""
    folder = tmp_path_factory.mktemp("runs")
    run = new_run(CycleGAN, {**TINY, "name": "r", "checkpoints_dir": str(folder), "save_epoch_freq": 0})
    for batch in list(run.loader.iterate(1))[:3]:
        run.train_on(batch)
    checkpoint.save(folder / "state.npz", run.state_dict())
    return checkpoint.load(folder / "state.npz")


def put(place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A state with a value in another's place."""

    def change(state: dict[str, Any]) -> None:
        *parents, last = place.split("/")
        for parent in parents:
            state = state[parent] if isinstance(state, dict) else state[int(parent)]
        state[last if isinstance(state, dict) else int(last)] = value  # type: ignore[index]

    return change


ARRAY = np.zeros((3, 3), np.float32)
NONSENSE: dict[str, list[Any]] = {
    "run": [[], "x", 3, None, ARRAY],
    "run/step": [-1, 1e308, "3", None, [3], 10**400, ARRAY, True, 1.5],
    "run/epoch": [-1, 0, 1e308, "1", None, 10**9, ARRAY],
    "run/position": [-1, 10**9, 1e308, "1", None, ARRAY],
    "run/images": [3, [1], [1, -1], [1, 2, 3], ["1", 2], None, ARRAY],
    "run/seconds": ["x", None, [], ARRAY],
    "run/best": [3, ["ssim"], ["ssim", "x"], {}, ARRAY],
    "config": [[], "x", None, 3, ARRAY],
    "config/ngf": [-1, 10**9, 1500, "x", 1e308, None, [], ARRAY, 1.5],
    "config/n_blocks": [-1, 10**9, 20_000, "x", 1e308],
    "config/crop_size": [-1, "x", None, 1e308, "0x0", ARRAY],
    "config/max_steps": ["x", 1e308, -3, None],
    "config/n_epochs": [-1, 1e308, 10**400, None],
    "config/lr": ["x", float("inf"), float("nan"), None],
    "config/lambda_A": ["x", None, float("inf")],
    "config/netG": ["evil", 3, None],
    "config/gan_mode": ["evil", 3, None],
    "config/builtin": ["evil", 3, None],
    "program": [3, None, [], ARRAY, "os.system"],
    "schedule": [[], "x", None],
    "schedule/done": [-1, 1e308, 10**9, "x", None],
    "schedule/drops": [-1, 1.5, None],
    "watch": [[], None, {"recent": []}, {"recent": {"fake_b": [ARRAY]}}, {"recent": {"fake_b": 3}}, {}],
    "model": [[], "x", None, {}],
    "model/networks": [[], {}, {"gen_ab": []}, None],
    "model/networks/gen_ab": [{}, [], {"w": 3}, None],
    "model/networks/gen_ab/model.1.weight": [ARRAY, "x", None, [], np.zeros((0, 3, 7, 7), np.float32)],
    "model/optimizers": [[], {}, None],
    "model/optimizers/g": [[], {}, None],
    "model/pools": [[], {}, None, {"a": [], "b": []}],
    "model/pools/a/images": [[ARRAY], ["x"], 3, [np.zeros((2, 2, 2, 2), np.float32)], [np.zeros((24, 24, 3), np.int8)]],
    "model/pools/a/rng": [[], {}, "x", {"bit_generator": "MT19937"}, None],
    "model/mixing": [[], {"bit_generator": "PCG64", "state": {"state": -1, "inc": 10**400}, "has_uint32": 0, "uinteger": 0}],
}  # fmt: skip


def test_nonsense_is_refused_in_one_line(tmp_path: Path, state: dict[str, Any]) -> None:
    files = []
    for i, (place, value) in enumerate((place, value) for place, values in NONSENSE.items() for value in values):
        changed = copy.deepcopy(state)
        put(place, value)(changed)
        files.append(tmp_path / f"{i:03} {place.replace('/', ' ')}" / "latest.npz")
        checkpoint.save(files[-1], changed)
    for i, whole in enumerate(([], 3, "x", None, {}, ARRAY)):
        files.append(tmp_path / f"whole {i}" / "latest.npz")
        checkpoint.save(files[-1], whole)
    checkpoint.save(tmp_path / "sound" / "latest.npz", state)
    sound, *results = measured("resume", [tmp_path / "sound" / "latest.npz", *files])
    assert sound.outcome == "sound", sound.said
    faults = [
        f"{file.parent.name}: {result.outcome} {result.said[-700:]} {result.seconds:.1f} s"
        for file, result in zip(files, results, strict=True)
        if result.outcome != "refused" or result.seconds > SECONDS or result.peak > BYTES
    ]
    assert not faults, "\n".join(faults)


def test_evaluation_refuses_nonsense_too(tmp_path: Path, state: dict[str, Any]) -> None:
    files = []
    for i, place in enumerate(("run", "config", "model", "model/networks/gen_ab", "config/ngf", "run/step")):
        changed = copy.deepcopy(state)
        put(place, 10**6 if place == "config/ngf" else [])(changed)
        files.append(tmp_path / str(i) / "latest.npz")
        checkpoint.save(files[-1], changed)
    for reader in ("evaluate", "weights"):
        for file, result in zip(files, measured(reader, files), strict=True):
            read_alone = reader == "weights" and file.parent.name in "45"  # networks do not depend on these
            assert result.outcome == ("sound" if read_alone and file.parent.name == "4" else "refused"), result.said


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    names = ("c.npz", "c.pth", "c.safetensors")
    for name in names:
        os.mkfifo(tmp_path / name)
    for result in measured("weights", [tmp_path / name for name in names], timeout=60):
        assert result.outcome == "refused" and "a pipe, a socket or a device" in result.said, result.said
