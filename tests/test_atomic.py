"""Files are written whole or not at all, by any number of processes at once, and last through a power cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from train.files import atomic
from train.files.atomic import make_folder, write_atomically, write_text
from train.files.json_file import write_json
from train.files.lock import lock, same_file


def other_process(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that has printed its first line."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline()
    return process


WRITES = """
    import sys
    from train.files.atomic import write_atomically
    def write(file):
        file.write(b"theirs")
        print("writing", flush=True)
        sys.stdin.read()
    write_atomically(sys.argv[1], write)
"""


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    """Both write the same file: each whole, and the later one stays."""
    path = tmp_path / "latest.npz"
    other = other_process(WRITES, path)
    (theirs,) = tmp_path.glob(".*.tmp")
    write_atomically(path, lambda file: file.write(b"ours"))
    assert theirs.exists() and path.read_bytes() == b"ours"
    other.communicate(timeout=30)
    assert other.returncode == 0 and path.read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["latest.npz"]


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "latest.npz"
    (tmp_path / ".latest.npz.mine.txt").write_text("no temporary file")
    other = other_process(WRITES, path)
    other.kill()
    other.wait()
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    write_atomically(path, lambda file: file.write(b"ours"))
    assert sorted(os.listdir(tmp_path)) == [".latest.npz.mine.txt", "latest.npz"]


def test_where_nobody_can_tell_whether_a_writer_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "lock", lambda file, wait=False: None)
    path, old, new = tmp_path / "x", tmp_path / ".x.1.tmp", tmp_path / ".x.2.tmp"
    for file in (old, new):
        file.write_bytes(b"")
    os.utime(old, (time.time() - 90000,) * 2)
    write_atomically(path, lambda file: file.write(b"ours"))
    assert sorted(os.listdir(tmp_path)) == [".x.2.tmp", "x"]


def test_a_temporary_file_that_was_found_before_it_was_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may come between making the file and locking it, and remove it: then another one is made."""
    found: list[Any] = []

    def late(file: BinaryIO, wait: bool = False) -> bool | None:
        if wait and not found:
            found.append(file.name)
            os.unlink(file.name)
        return lock(file, wait)

    monkeypatch.setattr(atomic, "lock", late)
    write_atomically(tmp_path / "x", lambda file: file.write(b"ours"))
    assert found and (tmp_path / "x").read_bytes() == b"ours" and os.listdir(tmp_path) == ["x"]


def test_names_that_are_no_utf8_are_escaped(tmp_path: Path) -> None:
    """As old zips leave them; in JSON the escape is the name again."""
    name = os.fsdecode(b"caf\xe9.png")
    write_json(tmp_path / "a.json", {"name": name, "sign": "→"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"name": name, "sign": "→"}
    write_text(tmp_path / "a.html", f"<p>{name} →")
    assert (tmp_path / "a.html").read_text("utf-8") == "<p>caf\\udce9.png →"


def test_a_name_as_long_as_the_disk_takes(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 120):
        write_atomically(tmp_path / name, lambda file: file.write(b"ours"))
        assert (tmp_path / name).read_bytes() == b"ours"


def test_new_folders_last_through_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that holds a new folder's name is synced, before anything is put into the new one."""
    synced: list[Path] = []
    monkeypatch.setattr(atomic, "sync_folder", synced.append)
    make_folder(tmp_path / "checkpoints" / "run")
    assert synced == [tmp_path, tmp_path / "checkpoints"]
    write_atomically(tmp_path / "checkpoints" / "run" / "samples" / "x.png", lambda file: file.write(b"x"))
    assert synced[2:] == [tmp_path / "checkpoints" / "run", tmp_path / "checkpoints" / "run" / "samples"]


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"")
    holds = """
        import sys
        from train.files.lock import lock
        file = open(sys.argv[1], "r+b")
        print(lock(file), flush=True)
        sys.stdin.read()
    """
    other = other_process(holds, path)
    with open(path, "r+b") as file:
        assert lock(file) is False
        other.kill()
        other.wait()
        assert lock(file) is True and same_file(file, path)
        with open(path, "r+b") as again:
            assert lock(again) is False  # not even in the same process
        path.rename(tmp_path / "moved")
        assert not same_file(file, path) and same_file(file, tmp_path / "moved")
    with open(tmp_path / "moved", "r+b") as file:
        assert lock(file) is True
