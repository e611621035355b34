"""A checkpoint comes back exactly, is never seen half-written, and says what is wrong with it."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.config.settings import Config
from train.errors import UserError
from train.files import atomic
from train.files.checkpoint import load, save
from train.run.start import check_same_run


def state() -> dict[str, Any]:
    rng = np.random.default_rng(7)
    return {
        "nets": {
            "gen_ab": {"model.1.weight": rng.normal(size=(4, 3, 7, 7)).astype(np.float32), "model.1.bias": np.zeros(0)}
        },
        "pool": [
            rng.integers(0, 255, (2, 5, 5, 3), dtype=np.uint8),
            np.array(5, np.int64),
            np.asfortranarray(np.eye(3)),
        ],
        "rng": rng.bit_generator.state,  # holds 128-bit integers
        "mt": np.random.MT19937(3).state,  # holds an array
        "big": [2**200, -(2**70)],
        "config": {
            "name": 'ünï "quoted"',
            "lr": 0.1 + 0.2,
            "tiny": 5e-324,
            "inf": float("inf"),
            "no_flip": True,
            "x": None,
        },
        "empty": [{}, [], "", {"": 0}],
        "odd": np.array([np.nan, np.inf, -0.0], ">f8"),
    }


def assert_same(x: Any, y: Any) -> None:
    assert type(x) is type(y)
    if isinstance(x, dict):
        assert list(x) == list(y)
        for key in x:
            assert_same(x[key], y[key])
    elif isinstance(x, list):
        assert len(x) == len(y)
        for a, b in zip(x, y, strict=True):
            assert_same(a, b)
    elif isinstance(x, np.ndarray):
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())
    else:
        assert x == y


def test_everything_comes_back_exactly(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "latest.npz"
    save(file, state())
    back = load(file)
    assert_same(back, state())
    back["nets"]["gen_ab"]["model.1.weight"][0] = 0  # may be written to
    with np.load(file, allow_pickle=False) as plain:  # any NumPy program can look inside
        assert plain["nets/gen_ab/model.1.weight"].shape == (4, 3, 7, 7)
    assert os.listdir(file.parent) == ["latest.npz"]


def test_the_generator_goes_on_where_it_stood(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rng.normal(size=3)
    save(tmp_path / "c.npz", {"rng": rng.bit_generator.state})
    other = np.random.default_rng()
    other.bit_generator.state = load(tmp_path / "c.npz")["rng"]
    assert other.random(5).tolist() == rng.random(5).tolist()


@pytest.mark.parametrize(
    "bad",
    [
        {"a": {1, 2}},
        {"a": [np.float32(1)]},
        {"a": (1, 2)},
        {"a": np.array([None])},
        {3: 1},
        {"a/b": 1},
        {"$array": "x"},
    ],
)
def test_what_would_not_come_back_is_refused_before_writing(tmp_path: Path, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        save(tmp_path / "c.npz", bad)
    assert os.listdir(tmp_path) == []


def test_an_array_of_objects_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="pool/1 is an array of Python objects"):
        save(tmp_path / "c.npz", {"pool": [1, np.array([None])]})


def test_every_truncation_is_seen(tmp_path: Path) -> None:
    file, cut = tmp_path / "c.npz", tmp_path / "cut.npz"
    save(file, state())
    data = file.read_bytes()
    for length in [0, 1, 4, 30, 100, *range(200, len(data), 311), len(data) - 23, len(data) - 1]:
        cut.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"cut\.npz .*damaged") as error:
            load(cut)
        assert f"{length:,} bytes" in str(error.value) and "copy it again" in str(error.value)


def test_a_flipped_bit_is_seen_or_harmless(tmp_path: Path) -> None:
    file, flipped = tmp_path / "c.npz", tmp_path / "f.npz"
    small = {"w": np.arange(50, dtype=np.float32), "step": 12}
    save(file, small)
    data, seen = file.read_bytes(), 0
    for place in range(len(data)):
        flipped.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        try:
            assert_same(load(flipped), small)  # such as a bit of the file's date in the zip
        except UserError:
            seen += 1
    assert seen > 0.75 * len(data)
    where = data.index(small["w"].tobytes())
    flipped.write_bytes(data[: where + 9] + b"\xff" + data[where + 10 :])
    with pytest.raises(UserError, match="CRC"):
        load(flipped)


def test_other_files_are_named_for_what_they_are(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    with pytest.raises(UserError, match=r"x\.npz: there is no such checkpoint"):
        load(file)
    np.savez(file, a=np.zeros(3))
    with pytest.raises(UserError, match=r"x\.npz is a zip file without manifest\.json"):
        load(file)
    file.write_bytes(b"\x89PNG and so on" * 20)
    with pytest.raises(UserError, match=r"x\.npz \(280 bytes\) is damaged or not a checkpoint"):
        load(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("manifest.json", '{"format": "something else", "version": 1}')
    with pytest.raises(UserError, match="not one of ours"):
        load(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("manifest.json", '{"format": "palindrome-checkpoint", "version": 3, "tree": {}}')
    with pytest.raises(UserError, match="version 3; this program reads versions 1 to 2"):
        load(file)
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path)


def test_an_array_that_was_pickled_is_not_opened(tmp_path: Path) -> None:
    file = tmp_path / "evil.npz"
    save(file, {"a": np.zeros(3)})
    member = io.BytesIO()
    np.lib.format.write_array(member, np.array([print], object), allow_pickle=True)
    with zipfile.ZipFile(file) as archive:
        manifest = archive.read("manifest.json")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("manifest.json", manifest)
        archive.writestr("a.npy", member.getvalue())
    with pytest.raises(UserError, match="allow_pickle=False"):
        load(file)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "latest.npz"
    save(file, {"step": 1})
    real = np.lib.format.write_array

    def full(stream: Any, array: np.ndarray, **options: Any) -> None:
        if array.size == 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(stream, array, **options)

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(UserError) as error:
        save(file, {"step": 2, "first": np.zeros(10), "second": np.zeros(1000)})
    message = str(error.value)
    assert str(file) in message and "No space left on device" in message and "earlier file is untouched" in message
    assert 8080 < int(message.split("It needs ")[1].split(" bytes")[0].replace(",", "")) < 12000
    assert load(file) == {"step": 1}
    assert os.listdir(tmp_path) == ["latest.npz"]


def test_a_disk_that_really_refuses(tmp_path: Path) -> None:
    code = """
        import resource, sys
        import numpy as np
        from train.files.checkpoint import load, save
        from train.errors import UserError
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        save(sys.argv[1], {"w": np.zeros(5000)})
        try:
            save(sys.argv[1], {"w": np.ones(20000)})
        except UserError as error:
            print(error)
        assert load(sys.argv[1])["w"].sum() == 0
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "c.npz")],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert out.returncode == 0, out.stderr
    assert "File too large" in out.stdout and "It needs 16" in out.stdout
    assert os.listdir(tmp_path) == ["c.npz"]


def test_an_exception_while_writing_removes_the_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(fd: int) -> None:
        assert len(os.listdir(tmp_path)) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path / "c.npz", {})
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_killed_at_any_moment_the_file_is_whole(tmp_path: Path) -> None:
    file, rng = tmp_path / "c.npz", random.Random(0)
    code = """
        import sys
        import numpy as np
        from train.files.checkpoint import save
        step = int(sys.argv[2])
        print("ready", flush=True)
        while True:
            step += 1
            save(sys.argv[1], {"step": step, "w": np.full(300_000, step, np.float32)})
    """
    step, stale = 0, 0
    save(file, {"step": 0, "w": np.zeros(1, np.float32)})
    for _ in range(8):
        command = [sys.executable, "-c", textwrap.dedent(code), str(file), str(step)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.readline()
            time.sleep(rng.uniform(0.01, 0.12))
            child.send_signal(signal.SIGKILL)
        back = load(file)
        assert back["step"] >= step and (back["w"] == back["step"]).all()
        step, stale = back["step"], stale + len(list(tmp_path.glob(".*.tmp")))
    assert step > 0 and stale > 0, "no kill hit a save: the test saw nothing"
    save(file, {})
    assert os.listdir(tmp_path) == ["c.npz"]  # the killed processes' temporaries are gone


def test_another_run_is_refused_with_every_difference() -> None:
    saved = dataclasses.asdict(Config(ngf=32, no_flip=True, n_blocks=6, num_threads=5, name="x"))
    check_same_run(saved, Config(ngf=32, no_flip=True, n_blocks=6))  # what is free may differ
    with pytest.raises(UserError) as error:
        check_same_run(saved, Config())
    message = str(error.value)
    assert "ngf: saved 32, asked for 64" in message and "n_blocks: saved 6, asked for 9" in message
    assert "To go on with the saved run: --no_flip, --ngf 32, --n_blocks 6." in message
    assert "num_threads" not in message and "--name" in message


def test_settings_that_one_side_does_not_know() -> None:
    saved = dataclasses.asdict(Config())
    del saved["beta1"]
    check_same_run(saved, Config())
    with pytest.raises(UserError, match=r"beta1: saved 0\.5, asked for 0\.9"):
        check_same_run(saved, Config(beta1=0.9))
    with pytest.raises(UserError, match="spectral: saved True, a setting that this version"):
        check_same_run({**saved, "spectral": True}, Config())
